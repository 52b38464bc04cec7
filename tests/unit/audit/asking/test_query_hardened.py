"""Where a privacy officer could have had a wrong answer: each access is found, or it is said that nobody can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.asking.asked import Asked
from pdp.audit.asking.query import search
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import PLAIN, Opener, leaves, members_of
from pdp.audit.record import cut
from pdp.audit.tree.pruned import Pruned
from pdp.audit.tree.tiles import place
from tests.unit.audit.asking.test_query import found, ids
from tests.unit.audit.stories import Locks, decided, direct, grown, log, name


def through(*actors: str, told: int = 0) -> dict[str, Any]:
    """The members and the detail of who acted through others."""
    return {
        "more": {"identity": {"via": "token", "actors": told or len(actors)}},
        "detail": {"actors": list(actors)},
    }


def test_who_acted_through_others_is_found_by_pseudonym_too(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="a", who="paul", epoch=1, kid="k", **through("nina")),
        decided(id="b", who="paul", epoch=1, kid="k", **through("dora")),
        decided(id="c", who="nina", epoch=1, kid="k"),
    )
    asked = name(1, "user", "nina")
    assert ids(tmp_path, Locks(1), subject="nina") == ["a", "c"]
    these, tally = found(tmp_path, Locks(1), subject=asked)
    assert "a" in these or not tally.whole
    assert found(tmp_path, Locks(1), thorough=True, subject=asked)[0] == these


def test_an_actor_who_did_not_fit_is_doubted(tmp_path: Path) -> None:
    log(tmp_path, decided(id="a", who="paul", **through("dora", told=70)))
    these, tally = found(tmp_path, subject="nina")
    assert (these, sum(tally.unjudged.values())) == ([], 1)
    assert found(tmp_path, subject="dora")[0] == ["a"]


@pytest.mark.parametrize("long", ["n" * 1_024, "n" * 1_500])
def test_an_id_that_was_cut_is_found_and_another_that_begins_alike_is_not(long: str, tmp_path: Path) -> None:
    """In clear, the beginning and a digest are on record."""
    log(tmp_path, decided(id="a", who=cut(long), patient=cut(long), resource=f"Record {cut(long)}"))
    for asked, before in (("subject", ""), ("patient", ""), ("resource", "Record/")):
        these, tally = found(tmp_path, **{asked: before + long})
        assert (these, tally.whole) == (["a"], True)
        these, tally = found(tmp_path, **{asked: f"{before}{long}n"})
        assert (these, tally.whole) == ([], True)


@pytest.mark.parametrize("odd", [["decision"], {"a": 1}, 5, None, True])
@pytest.mark.parametrize("member", ["kind", "id", "ts", "search", "count", "part", "pep", "stream"])
def test_a_member_of_any_type_is_no_crash(member: str, odd: object, tmp_path: Path) -> None:
    log(tmp_path, decided(id="a"), {**decided(id="b"), member: odd}, decided(id="c"))
    for opener in (PLAIN, Locks()):
        for asked in (Asked(patient="pat-1"), Asked(subject="nina"), Asked(pep="envoy"), Asked(kinds=frozenset())):
            for thorough in (False, True):
                these = [each.id for each in search(tmp_path, asked, opener, thorough=thorough).hits()]
                assert {"a", "c"} <= set(these)


def searched(found_: int, **more: Any) -> dict[str, Any]:
    return {"search": {"for": "resource", "found": found_, "looked_at": 9, "undecided": 0, "more": False}, **more}


@pytest.mark.parametrize("opener", [PLAIN, Locks(1)])
def test_what_a_search_gave_away_of_nobody_knows_whom_is_counted(opener: Opener, tmp_path: Path) -> None:
    """It found records, and whose they are is not on record."""
    log(
        tmp_path,
        decided(id="a", patient="", resource="Record ", more=searched(3), detail={"results": ["r1", "r2", "r3"]}),
        decided(id="b", patient="", resource="Record ", more=searched(0), detail={"results": []}),
        decided(id="c", patient="", resource="Patient ", more=searched(1), detail={"results": ["pat-1"]}),
        decided(id="d", patient="", resource="Record ", more=searched(1), detail={"results": ["r1"]}, who="dora"),
    )
    these, tally = found(tmp_path, opener, patient="pat-1")
    assert these == ["c"]
    assert tally.whole
    assert tally.elsewhere == 2
    assert found(tmp_path, opener, subject="nina")[1].elsewhere == 0
    assert found(tmp_path, opener, patient="pat-1", subject="dora")[1].elsewhere == 1


def test_a_word_for_readers_that_is_on_no_record_hides_nothing_from_any_of_them(tmp_path: Path) -> None:
    direct(tmp_path, *(decided(id=f"d{number}") for number in range(300)))
    what = Pruned(256, (), True, {}, "told-1", 299, "2027-01-15T08:00:00.000000Z", "root", "2026-01-01T00:00:00Z")
    (tmp_path / "log/pruned").write_bytes(what.encoded())
    (tmp_path / "log" / place("entries", 0)).unlink()
    with pytest.raises(EvidenceError):
        list(leaves(tmp_path))
    assert found(tmp_path, patient="pat-1")[1].unjudged == {"missing": 256}


def test_a_state_that_was_set_back_hides_no_records_from_a_reader(tmp_path: Path) -> None:
    writer = log(tmp_path, decided(id="a"))
    old = json.loads((tmp_path / "state/tree.json").read_text())
    grown(tmp_path, writer, decided(id="b"))
    path = tmp_path / "state/tree.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": old["size"], "root": old["root"]}))
    for read in (lambda: list(leaves(tmp_path)), lambda: found(tmp_path)):
        with pytest.raises(EvidenceError):
            read()


def test_a_record_that_says_twice_where_it_stands_is_malformed(tmp_path: Path) -> None:
    log(tmp_path, decided(id="a"), {**decided(id="b"), "more": {"stream": "x"}})
    assert [each.id for each in leaves(tmp_path)] == ["a", "b"]
    with pytest.raises(EvidenceError):
        members_of(b'{"stream":"a/0/x","seq":1,"prev":"","stream":"a/1/x","seq":9}')
    with pytest.raises(EvidenceError):
        members_of(b'{"stream":"a/0/x","seq":1,"prev":"","\\u0073tream":"a/0/x","stream":"a/0/x","seq":9}')
