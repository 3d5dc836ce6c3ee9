"""Build the page for driving in the dream into site/, and serve it at a local address.

site/ holds static files alone, for any file server: the page of page/, onnxruntime-web from npm,
the models of a round, and the code that the page links to.
"""

import argparse
import gzip
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.stage import user_errors

ROOT = Path(__file__).resolve().parent.parent
PAGE, SITE = ROOT / "page", ROOT / "site"
OWN = ("index.html", "style.css", "src")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
CODE = {  # what the page links to
    "controller": "worldmodels/control/controller.py",
    "dream_step": "worldmodels/dream/step.py",
    "dreaming": "worldmodels/reports/dreaming.py",
    "vae": "worldmodels/vision/vae.py",
}
TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}
COMPRESSED = (".css", ".html", ".js", ".json", ".mjs", ".onnx", ".bin", ".txt", ".wasm")


def install_runtime() -> Path:
    """The folder of onnxruntime-web's files, which npm installs where they are not yet those of
    the lock file. Raises UserError if that fails."""
    stamp, lock = PAGE / "node_modules/.installed", (PAGE / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=PAGE, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise UserError("npm: no such command; install Node.js 18 or later") from None
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip() or "no message").splitlines()[-1]
            raise UserError(f"{' '.join(command)} failed in page/: {last}") from None
        stamp.write_text(lock)
    return PAGE / "node_modules/onnxruntime-web/dist"


def build(name: str, site: Path) -> None:
    """Build the page of the round `name` into the folder `site`, in place of what it holds.

    Raises UserError for what is missing, or a round that did not learn in the dream.
    """
    from worldmodels.interop.page import write

    runtime = install_runtime()
    part = site.with_name(f".{site.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("ort", "code"):
        (part / folder).mkdir(parents=True)
    write(name, part / "data")
    for own in OWN:
        copy = shutil.copytree if (PAGE / own).is_dir() else shutil.copy
        copy(PAGE / own, part / own)
    for file in RUNTIME:
        shutil.copy(runtime / file, part / "ort" / file)
    for title, path in CODE.items():
        shutil.copy(ROOT / path, part / "code" / f"{title}.txt")
    shutil.rmtree(site, ignore_errors=True)
    part.rename(site)


@cache
def compressed(path: Path, changed: float) -> bytes:
    """A file's bytes with gzip; `changed` is the time of its last change."""
    return gzip.compress(path.read_bytes(), mtime=0)


def bytes_to_send(site: Path) -> int:
    """The bytes of all files of a site, as they are sent."""
    files = [path for path in site.rglob("*") if path.is_file()]
    return sum(
        len(compressed(path, path.stat().st_mtime))
        if path.suffix in COMPRESSED
        else path.stat().st_size
        for path in files
    )


class Handler(SimpleHTTPRequestHandler):
    """Serves the files of a folder, compressed as a host of pages does it."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def send_head(self) -> BytesIO | None:  # type: ignore[override]
        """Send the headers; the file is what follows."""
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not (path.is_file() and path.suffix in COMPRESSED and accepted):
            return super().send_head()  # type: ignore[return-value]
        body = compressed(path, path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        return BytesIO(body)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file, unless the visitor has left meanwhile."""
        with suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(source, outputfile)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing per request."""


def server(site: Path, port: int) -> ThreadingHTTPServer:
    """A server of `site` on loopback; port 0 takes a free one. Raises UserError for a used one."""
    try:
        return ThreadingHTTPServer(
            ("127.0.0.1", port), lambda *values: Handler(*values, directory=str(site))
        )
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror}; choose another with PORT=…") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.page")
    parser.add_argument("--round", help="whose C learnt in the dream; default: the first")
    parser.add_argument("--port", type=int, default=8000, help="to serve at; 0: any free one")
    parser.add_argument("--build-only", action="store_true", help="do not serve")
    options = parser.parse_args()
    from commands.dream import dreamer

    build(dreamer(options.round), SITE)
    print(f"{SITE}: {bytes_to_send(SITE) / 1e6:.1f} MB to send")
    if options.build_only:
        return
    with server(SITE, options.port) as serving:
        print(f"http://127.0.0.1:{serving.server_port}/ (Ctrl-C ends it)", flush=True)
        serving.serve_forever()


if __name__ == "__main__":
    with user_errors("page"):
        main()
