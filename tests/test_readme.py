"""README's tables are those that the commands and stages make of the committed results."""

from commands.table import table
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv


def test_readme_shows_the_numbers_of_the_results(root):
    readme = (root / "README.md").read_text().splitlines()
    made = table(root / "results", read_csv(root / RUNS)).splitlines()
    assert len(made) > 5
    for path in sorted((root / "results/compare").glob("*.md")):
        made += path.read_text().splitlines()
    assert [line for line in made if line not in readme] == []
