"""Build the page for driving in the dream into site/, and serve it at a local address.

site/ holds static files alone, for any file server: the page of page/, onnxruntime-web from npm,
the models of a round, and the code that the page links to.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
from contextlib import nullcontext, suppress
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from worldmodels.pipeline.errors import UserError, user_errors

ROOT = Path(__file__).resolve().parent.parent
PAGE, SITE = ROOT / "page", ROOT / "site"
OWN = ("index.html", "style.css", "sw.js", "src")
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
            lines = error.stderr.strip().splitlines() or ["no message"]
            told = next((line for line in lines if line.startswith("npm e")), lines[-1])
            raise UserError(f"{' '.join(command)} failed in page/: {told}") from None
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
    if site.exists():
        shutil.rmtree(site)
    part.rename(site)


@cache
def compress(path: Path, changed: float) -> bytes:
    """A file's bytes with gzip; `changed` is the time of its last change."""
    return gzip.compress(path.read_bytes(), mtime=0)


def bytes_to_send(site: Path) -> int:
    """The bytes of all files of a site, as they are sent."""
    files = [path for path in site.rglob("*") if path.is_file()]
    return sum(
        len(compress(path, path.stat().st_mtime))
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
        body = compress(path, path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)

    def end_headers(self) -> None:
        """End the headers; a browser is to ask again for what may have been rebuilt."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing per request."""


class Server(ThreadingHTTPServer):
    """Serves files, to visitors who may leave at any time."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of an error, unless the visitor has left."""
        if not isinstance(sys.exception(), (BrokenPipeError, ConnectionResetError)):
            super().handle_error(request, client_address)


def server(site: Path, port: int, host: str = "127.0.0.1") -> Server:
    """A server of `site` at `host`; port 0 takes a free one.

    Raises UserError for a port that is used or impossible, and for a host of another machine.
    """
    try:
        return Server((host, port), lambda *values: Handler(*values, directory=str(site)))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{host}:{port}: {reason}; choose another with PORT=… or HOST=…") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.page")
    parser.add_argument("--round", help="whose C learnt in the dream; default: the first")
    parser.add_argument("--port", type=int, default=8000, help="to serve at; 0: any free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at; 0.0.0.0: all that this machine has, for a phone nearby",
    )
    parser.add_argument("--build-only", action="store_true", help="do not serve")
    options = parser.parse_args()
    from worldmodels.interop.trained import round_that_dreams

    name = round_that_dreams(options.round)
    # The port is taken before a minute's work
    place = nullcontext() if options.build_only else server(SITE, options.port, options.host)
    with place as serving:
        build(name, SITE)
        print(f"{SITE}: {bytes_to_send(SITE) / 1e6:.1f} MB to send")
        if serving is None:
            return
        print(f"http://{options.host}:{serving.server_port}/ (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            serving.serve_forever()


if __name__ == "__main__":
    with user_errors("page"):
        main()
