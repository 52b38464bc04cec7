"""Everything a fuzzer ever found interesting, replayed."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = [(name, case) for name in TARGETS for case in sorted((CORPUS / name).glob("*"))]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case.name[:12]}" for name, case in CASES])
def test_a_kept_case_is_parsed_or_refused(name: str, case: Path) -> None:
    TARGETS[name](case.read_bytes())


def test_every_target_keeps_a_corpus() -> None:
    assert [name for name in TARGETS if not any((CORPUS / name).glob("*"))] == []
