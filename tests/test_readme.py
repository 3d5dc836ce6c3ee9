"""README.md and docs/ against the repository: their tables, links, paths and commands exist."""

import re
from pathlib import Path

import pytest

from commands import astray
from commands.table import table
from worldmodels.pipeline.params import read_yaml
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WORDS = 1300  # of the README, at most: two screens

LINK = re.compile(r"\]\(([^)\s]+)\)")
IMAGE = re.compile(r'<img src="([^"]+)"')
CODE_PATH = re.compile(r"(?<![\w/.])(?:worldmodels|stages|commands|benchmarks|tests)/[\w/.]*\w")
SCRIPT = re.compile(r"python -m ((?:stages|commands|benchmarks)\.\w+)")
TARGET = re.compile(r"(?:^|`)make ([a-z][\w-]*)", re.MULTILINE)


@pytest.fixture(params=PAGES, ids=lambda path: path.name)
def page(request) -> Path:
    return request.param


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def targets() -> set[str]:
    """The verbs of the Makefile."""
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_placeholder(name: str) -> bool:
    """True for NAME, ROUND, WORLD or PLACE in a path: a name of the reader's own."""
    return re.search(r"NAME|ROUND|WORLD|PLACE", name) is not None


def test_pages_show_the_numbers_of_the_results():
    lines = {line for path in PAGES for line in path.read_text().splitlines()}
    made = table(ROOT / "results", read_csv(ROOT / RUNS)).splitlines()
    assert len(made) > 5
    made += astray.table(read_csv(ROOT / astray.RESULT)).splitlines()
    for path in sorted((ROOT / "results/compare").glob("*.md")):
        made += path.read_text().splitlines()
    assert [line for line in made if line not in lines] == []


def is_broken(link: str, page: Path) -> bool:
    """True for a relative link to a file, or to a heading of a page, that is not there."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


def test_links_and_images_exist(page):
    found = LINK.findall(page.read_text()) + IMAGE.findall(page.read_text())
    links = [link for link in found if not link.startswith("https://")]
    assert [link for link in links if is_broken(link, page)] == []


def test_code_that_is_named_exists(page):
    named = set(CODE_PATH.findall(page.read_text()))
    assert [
        name for name in named if not is_placeholder(name) and not (ROOT / name).exists()
    ] == []


def test_scripts_that_are_named_exist(page):
    for name in SCRIPT.findall(page.read_text()):
        script = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        assert is_placeholder(name) or script.is_file(), f"python -m {name}"


def test_make_targets_that_are_named_exist(page):
    assert set(TARGET.findall(page.read_text())) <= targets()


def test_readme_and_costs_name_every_make_target():
    for path in (ROOT / "README.md", ROOT / "docs/costs.md"):
        assert targets() - {"all", "remote", "new-environment"} <= set(
            TARGET.findall(path.read_text())
        ), path.name


def test_readme_fits_two_screens():
    words = [word for word in (ROOT / "README.md").read_text().split() if re.search(r"\w", word)]
    assert len(words) <= WORDS


def test_pages_name_models_by_the_md5_they_have():
    lock = read_yaml(ROOT / "dvc.lock")["stages"]["train_controller@second"]["outs"]
    (md5,) = [out["md5"] for out in lock if out["path"] == "models/second/agent.safetensors"]
    said = (ROOT / "docs/sweeps-and-remotes.md").read_text()
    assert f"artifacts/files/md5/{md5[:2]}/{md5[2:]} " in said and f"`{md5[:8]}…`" in said


def test_readme_links_every_page_of_docs():
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/{path.name}" for path in PAGES[1:]} <= linked


def test_citation_has_what_the_format_asks_for():
    citation = read_yaml(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == (ROOT / "LICENSE").read_text().split()[0]
