"""The command that builds and serves the page: what it sends, and what it says when it cannot."""

import gzip
import threading
import urllib.error
import urllib.request

import pytest

from commands import page
from commands.page import CODE, OWN, PAGE, ROOT, build, install_runtime, server
from worldmodels.pipeline.errors import UserError


@pytest.fixture
def address(tmp_path):
    """The address of a small site."""
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "index.html").write_text("<h1>hello</h1>")
    (site / "data/model.onnx").write_bytes(bytes(10_000))
    (site / "data/lap.png").write_bytes(b"not really one")
    with server(site, 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def get(url: str, **headers: str):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.headers, answer.read()


def test_what_can_be_compressed_is_sent_so_to_who_takes_it(address):
    headers, body = get(f"{address}/data/model.onnx", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip" and len(body) < 1000
    assert gzip.decompress(body) == bytes(10_000)
    headers, body = get(f"{address}/data/model.onnx")
    assert headers["Content-Encoding"] is None and body == bytes(10_000)
    headers, body = get(f"{address}/data/lap.png", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] is None and body == b"not really one"


def test_the_address_alone_is_the_page(address):
    headers, body = get(f"{address}/", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Type"] == "text/html"
    assert gzip.decompress(body) == b"<h1>hello</h1>"


def test_nothing_outside_the_site_is_sent(address, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{address}/../secret.txt")


def test_a_port_in_use_is_named(tmp_path):
    with server(tmp_path, 0) as serving:
        port = serving.server_port
        with pytest.raises(UserError, match=rf"127.0.0.1:{port}: .*PORT="):
            server(tmp_path, port)


def test_an_impossible_port_is_named(tmp_path):
    with pytest.raises(UserError, match=r"127.0.0.1:99999: .*PORT="):
        server(tmp_path, 99999)


def test_without_npm_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path)
    (tmp_path / "package-lock.json").write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm: no such command; install Node\.js"):
        install_runtime()


def test_a_failure_of_npm_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path)
    (tmp_path / "package-lock.json").write_text("{}")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho one >&2\necho npm error network >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"^npm ci .* failed in page/: npm error network$"):
        install_runtime()
    assert not (tmp_path / "node_modules").exists()


def test_a_round_that_dreams_nothing_is_refused_and_the_old_page_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "install_runtime", lambda: tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("old")
    with pytest.raises(UserError, match="no round 'second' learns in the dream; there are"):
        build("second", tmp_path / "site")
    assert (tmp_path / "site/index.html").read_text() == "old"


def test_what_the_page_is_made_of_exists_and_is_linked():
    assert all((PAGE / name).exists() for name in OWN)
    assert all((ROOT / path).is_file() for path in CODE.values())
    html = (PAGE / "index.html").read_text()
    assert all(f'href="code/{title}.txt"' in html for title in CODE)
