"""docs/authzen.md is what a real service answers: each of its requests is sent, each of its answers compared."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import ROOT, Server, serving

pytestmark = pytest.mark.service

PAGE = (ROOT / "docs/authzen.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(http|json)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (asked, json.loads(answer))
    for (one, asked), (other, answer) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True)
    if (one, other) == ("http", "json")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("page")
    policies: Path = directory / "policies"
    shutil.copytree(ROOT / "policies/hospital", policies)
    settings = (policies / "pdp.toml").read_text()
    (policies / "pdp.toml").write_text(settings.replace("[pep.application]", "[pep.application]\nsearch = true", 1))
    with serving(directory, policies) as running:
        yield running


def test_every_request_of_the_page_has_its_answer_behind_it() -> None:
    assert len(EXAMPLES) == len(BLOCKS) / 2 >= 10


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_page_says_what_is_answered(server: Server, number: int) -> None:
    asked, expected = EXAMPLES[number]
    head, _, body = asked.partition("\n\n")
    method, path = head.split()
    headers = {"Content-Type": "application/json"} if body else {}
    answer = server.ask(method, path, body.encode() if body else None, headers)
    assert answer.status == expected.get("error", {}).get("status", 200)
    fitting(expected, answer.json, "")


def fitting(expected: Any, found: Any, where: str) -> None:
    """The same, but that `…` in a text stands for any text that is not empty."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert expected.keys() == found.keys(), where
        for name, value in expected.items():
            fitting(value, found[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(expected) == len(found), where
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            fitting(one, other, f"{where}[{index}]")
    elif isinstance(expected, str) and "…" in expected:
        assert re.fullmatch(".+".join(map(re.escape, expected.split("…"))), found), where
    else:
        assert (type(expected), expected) == (type(found), found), where


def test_every_reason_that_the_api_gives_is_on_the_page() -> None:
    from pdp.model.decision import Reason

    elsewhere = {Reason.NO_ROUTE, Reason.UNKNOWN_PEP, Reason.AUDIT_UNAVAILABLE, Reason.OVERLOADED, Reason.FAULT}
    assert {each for each in Reason if f"`{each}`" not in PAGE} == elsewhere
