"""docs/operations.md names metrics, and problems of `/ready`, that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/operations.md").read_text("utf-8")


def test_every_metric_of_the_page_is_exposed() -> None:
    source = (ROOT / "pdp/console/exposition.py").read_text("utf-8")
    from pdp.console.exposition import TOTALS

    exposed = set(re.findall(r'"(pdp_[a-z_]+)"', source)) | {f"pdp_{name}" for name in TOTALS}
    named = {name.removesuffix("_total") for name in re.findall(r"`(pdp_[a-z_]+)", PAGE)}
    assert named
    assert named <= exposed


def test_every_problem_of_the_page_is_one_that_ready_says() -> None:
    sources = "".join((ROOT / f"pdp/serve/{name}.py").read_text("utf-8") for name in ("worker", "sessions", "ladder"))
    table = PAGE.split("| problem | what to do |")[1]
    said = [
        word for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall("`([^`]+)`", line)
    ]
    assert len(said) >= 10
    assert [word for word in said if f'{word.removeprefix("...")}"' not in sources] == []
