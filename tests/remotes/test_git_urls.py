"""One model from another repository, whose remote lies inside it: by path, and by git's URLs.

A project of the same shape as this one is served on loopback, over https by git's own backend, and
over ssh.
"""

import os
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncssh
import pytest
import yaml

from tests.remotes.test_remotes import CONTENT, check, dvc, free_port

MODEL = "models/agent.safetensors"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def published(tmp_path) -> Path:
    """A repository with a model in its own `artifacts`, as this one has."""
    folder = tmp_path / "published"
    (folder / "models").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    git(folder, "init", "--quiet")
    check(folder, "init", "-q")
    check(folder, "remote", "add", "-d", "artifacts", str(folder / "artifacts"))
    (folder / MODEL).write_bytes(CONTENT)
    check(folder, "add", "-q", MODEL)
    check(folder, "push")
    config = (folder / ".dvc/config").read_text()
    (folder / ".dvc/config").write_text(config.replace(str(folder / "artifacts"), "../artifacts"))
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "all")
    return folder


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """Another DVC project."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    git(folder, "init", "--quiet")
    check(folder, "init", "-q")
    return folder


def in_artifacts(published: Path) -> str:
    """The path of the model's content in the repository, by its md5, as docs tell."""
    (out,) = yaml.safe_load((published / f"{MODEL}.dvc").read_text())["outs"]
    return f"artifacts/files/md5/{out['md5'][:2]}/{out['md5'][2:]}"


def get_and_import(elsewhere: Path, url: str, path: str) -> None:
    """`dvc get` and `dvc import` of `path` from `url` give the model."""
    check(elsewhere, "get", url, path, "-o", "got")
    assert (elsewhere / "got").read_bytes() == CONTENT
    check(elsewhere, "import", url, path, "-o", "imported")
    assert (elsewhere / "imported").read_bytes() == CONTENT
    (elsewhere / "imported").unlink()
    check(elsewhere, "update", "imported.dvc")
    check(elsewhere, "checkout", "imported.dvc")
    assert (elsewhere / "imported").read_bytes() == CONTENT


def test_from_the_path_of_a_clone_by_the_name_of_the_model(published, elsewhere):
    get_and_import(elsewhere, str(published), MODEL)


def test_dvc_cannot_read_a_remote_inside_a_repository_at_a_git_url(published, elsewhere):
    """If this fails, DVC has learnt it: tell so in docs/sweeps-and-remotes.md."""
    done = dvc(elsewhere, "get", f"file://{published}", MODEL, "-o", "got")
    assert done.returncode != 0 and not (elsewhere / "got").exists()


@contextmanager
def https(folder: Path, root: Path):
    """git's http backend for the repositories in `root`; yields the port."""
    names = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    made += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)

    class Backend(BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            env = os.environ | {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            backend = ["git", "http-backend"]
            answer = subprocess.run(backend, input=body, env=env, capture_output=True).stdout
            head, _, content = answer.partition(b"\r\n\r\n")
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(lines.pop("Status", "200").split()[0]))
            for name, value in lines.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def test_over_https_by_the_place_of_its_content(published, elsewhere, tmp_path, monkeypatch):
    with https(tmp_path, tmp_path) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))  # as if it were known
        url = f"https://localhost:{port}/published/.git"
        get_and_import(elsewhere, url, in_artifacts(published))


SSH_SERVER = """
import asyncio, subprocess, sys
import asyncssh

async def run(process):
    command = subprocess.Popen(process.command, shell=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await process.redirect(command.stdin, command.stdout, command.stderr)
    await asyncio.to_thread(command.wait)
    await process.stdout.drain()
    process.exit(command.returncode)

async def serve(port, host_key, users_keys):
    await asyncssh.create_server(asyncssh.SSHServer, "127.0.0.1", int(port), encoding=None,
                                 server_host_keys=[host_key], authorized_client_keys=users_keys,
                                 process_factory=run)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve(*sys.argv[1:]))
"""


@contextmanager
def ssh(folder: Path):
    """An ssh server that runs what it is asked to, for the user in `folder`/home; yields the
    port."""
    keys = folder / "home/.ssh"
    keys.mkdir()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "host")
    users = asyncssh.generate_private_key("ssh-ed25519")
    users.write_private_key(keys / "id_ed25519")
    users.write_public_key(keys / "id_ed25519.pub")
    port = free_port()
    command = [sys.executable, "-c", SSH_SERVER, str(port), folder / "host"]
    command.append(keys / "id_ed25519.pub")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            yield port
        finally:
            server.kill()


def test_over_ssh_by_the_place_of_its_content(published, elsewhere, tmp_path):
    with ssh(tmp_path) as port:
        url = f"ssh://localhost:{port}{published}/.git"
        get_and_import(elsewhere, url, in_artifacts(published))
