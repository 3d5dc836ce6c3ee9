"""Point DVC's default remote at artifacts/ of this folder, wherever the folder is now.

The path has to be absolute, since `dvc exp run --temp` works in another folder. So in a moved or
copied folder `.dvc/config.local` names the old place, into which `dvc push` would write. It is
edited as text, since `dvc remote modify` fails on a path with letters outside ASCII.
"""

import argparse
import re
from pathlib import Path

from worldmodels.pipeline.errors import UserError, user_errors

LOCAL = Path(".dvc/config.local")
HEADER = """['remote "artifacts"']"""
URL = re.compile(rf"^({re.escape(HEADER)}\n(?:(?!\[).*\n)*?[ \t]*url[ \t]*=[ \t]*)(.*)$", re.M)


def with_url(config: str, url: str) -> tuple[str, str | None]:
    """The text of a DVC `config` with the remote `artifacts` at `url`, and its former URL, if any.

    A remote of another kind, such as `s3://`, is the user's choice and stays.
    """
    quote = "'" if '"' in url else '"'
    value = f"{quote}{url}{quote}"
    if found := URL.search(config):
        before = found[2].strip().strip("'\"")
        if before == url or "://" in before:
            return config, before
        return URL.sub(lambda match: match[1] + value, config), before
    line = f"    url = {value}\n"
    if HEADER in config:
        return config.replace(f"{HEADER}\n", f"{HEADER}\n{line}"), None
    return f"{config.rstrip()}\n{HEADER}\n{line}".lstrip(), None


def main() -> None:
    argparse.ArgumentParser(description=__doc__, prog="python -m commands.remote").parse_args()
    if not LOCAL.parent.is_dir():
        raise UserError(f"{LOCAL.parent}: no such folder; run from the root of the repository")
    config = LOCAL.read_text(encoding="utf-8") if LOCAL.exists() else ""
    changed, before = with_url(config, str(Path.cwd() / "artifacts"))
    if changed != config:
        LOCAL.write_text(changed, encoding="utf-8")
        if before is not None:
            print(f"DVC's remote was {before}; it is artifacts/ of this folder now.")


if __name__ == "__main__":
    with user_errors("remote"):
        main()
