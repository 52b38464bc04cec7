"""The index never changes an answer: not when it is old, not when it is damaged, not when it was tampered with."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

duckdb = pytest.importorskip("duckdb")

from pdp.audit.asking import index  # noqa: E402
from pdp.audit.asking.asked import Asked, Question  # noqa: E402
from pdp.audit.asking.index import NotUsable  # noqa: E402
from pdp.audit.asking.period import Period  # noqa: E402
from pdp.audit.asking.query import Tally, search  # noqa: E402
from pdp.audit.leaf import PLAIN, Opener, sealed_size  # noqa: E402
from tests.unit.audit.stories import DAY, MARCH, Locks, decided, direct, grown, log, name  # noqa: E402

NAMES = ["pat-1", "pat-2", 'p"; DROP TABLE x;--', "nina", "ü\x1b[1m", "a\0b", "' OR 1=1 --", "?"]
KEYS: list[Opener] = [PLAIN, Locks(1, 2), Locks(2, erased=("one",), locked=("two",))]


def found(directory: Path, asked: Asked, opener: Opener, *, use: bool) -> tuple[list[int | None], Tally]:
    looked = search(directory, asked, opener)

    def places(size: int) -> index.Places | None:
        return index.places(index.read(directory, size), [looked.question], size) if use else None

    return [leaf.index for leaf in looked.hits(index=places)], looked.tally


def records(draw: random.Random, count: int) -> list[dict[str, Any]]:
    more = [
        {},
        {},
        {"search": {"for": "resource"}},
        {"identity": {"via": "t", "actors": 2}},
        {"identity": {"via": "t", "type": "user"}},
    ]
    return [
        decided(
            draw.choice(NAMES),
            draw.choice(["", *NAMES]),
            id=f"d{draw.randrange(5)}",
            at=MARCH + draw.randrange(60) * DAY,
            kind=draw.choice(["user", "Patient", "?"]),
            resource=draw.choice(["Record r1", "Patient pat-1", "? nina"]),
            effect=draw.choice(["allow", "deny"]),
            action=draw.choice(["read", "?"]),
            rule=tuple(draw.sample(["a", "b\x00", "c"], 2)),
            epoch=draw.randrange(3),
            kid=draw.choice(["", "one", "two", "three"]),
            hidden=draw.random() < 0.5,
            more=draw.choice(more),
            detail=draw.choice([{}, {"results": ["pat-1", "nina"]}, {"actors": ["nina"]}, {"act": {"action": "peek"}}]),
        )
        for _ in range(count)
    ]


def questions(draw: random.Random) -> Asked:
    one = lambda *values: draw.choice(["", "", "", *values])  # noqa: E731
    return Asked(
        patient=one(*NAMES, name(1, "Patient", "pat-1")),
        subject=one(*NAMES, "user/nina", name(2, "user", "nina")),
        resource=one("Record/r1", "nina"),
        effect=one("deny", "' OR true --"),
        action=one("peek", "read"),
        rule=one("a", "b\x00"),
        decision=one("d1"),
        period=draw.choice([None, Period(MARCH + 3 * DAY, MARCH + 20 * DAY)]),
        kinds=draw.choice([frozenset(), Asked().kinds]),
    )


def test_the_index_never_changes_an_answer(tmp_path: Path) -> None:
    draw = random.Random(11)
    for number in range(6):
        directory = tmp_path / str(number)
        directory.mkdir()
        direct(directory, *records(draw, 300))
        assert index.build(directory).size == 256
        for _ in range(25):
            asked, keys = questions(draw), draw.choice(KEYS)
            scanned, indexed = found(directory, asked, keys, use=False), found(directory, asked, keys, use=True)
            assert scanned[0] == indexed[0], asked
            assert (scanned[1].unjudged, scanned[1].meant) == (indexed[1].unjudged, indexed[1].meant)


def test_what_comes_after_the_index_was_made_is_found_and_it_grows(tmp_path: Path) -> None:
    writer = log(tmp_path, *(decided(id=f"d{number}") for number in range(300)))
    assert index.build(tmp_path).size == 256
    grown(tmp_path, writer, *(decided(id=f"e{number}") for number in range(300)))
    grown(tmp_path, writer, decided(id="waiting"), seal=False)
    assert found(tmp_path, Asked(patient="pat-1"), PLAIN, use=True)[1].meant == 601
    assert index.build(tmp_path).size == 512
    assert index.build(tmp_path).size == 512
    assert [path.name for path in (tmp_path / "index").glob("*.parquet")] == ["0-512.parquet"]
    assert list(index.differences(index.read(tmp_path, 600))) == []


def test_details_are_not_in_it(tmp_path: Path) -> None:
    log(tmp_path, *(decided("secret-who", "secret-patient", kid="") for _ in range(256)))
    made = index.build(tmp_path)
    rows = duckdb.execute("SELECT * FROM read_parquet(?)", [made.paths]).fetchall()
    assert len(rows) == 256
    assert "secret" not in repr(rows)


@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "list", "other", "longer"])
def test_an_index_that_is_damaged_or_of_another_log_is_not_used(harm: str, tmp_path: Path) -> None:
    log(tmp_path, *(decided() for _ in range(256)))
    path = Path(index.build(tmp_path).paths[0])
    told = tmp_path / "index" / index.NAME
    data = path.read_bytes()
    match harm:
        case "flip":
            path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
        case "cut":
            path.write_bytes(data[:100])
        case "gone":
            path.unlink()
        case "list":
            told.write_text("[]")
        case "other":
            said = json.loads(told.read_text())
            told.write_text(json.dumps({**said, "last": "00" * 32}))
        case _:
            said = json.loads(told.read_text())
            said["files"][0]["after"] = said["size"] = 512
            told.write_text(json.dumps(said))
    with pytest.raises(NotUsable):
        index.read(tmp_path, sealed_size(tmp_path))
    assert index.build(tmp_path).size == 256  # And it is made anew.
    assert index.read(tmp_path, 256).size == 256


def rewritten(directory: Path, select: str) -> None:
    """By somebody who may write to it and knows how it is checked."""
    made = index.read(directory, sealed_size(directory))
    path = Path(made.paths[0])
    duckdb.execute(f"COPY ({select.format(file=path)}) TO '{path}.new' (FORMAT parquet)")
    path.write_bytes(Path(f"{path}.new").read_bytes())
    Path(f"{path}.new").unlink()
    told = directory / "index" / index.NAME
    said = json.loads(told.read_text())
    said["files"][0]["sha256"] = sha256(path.read_bytes()).hexdigest()
    told.write_text(json.dumps(said))


def test_a_row_that_was_changed_is_found_out_by_the_record_itself(tmp_path: Path) -> None:
    records = [decided(id=f"d{n}", patient=f"pat-{n % 8}", epoch=1, kid="day") for n in range(256)]
    log(tmp_path, *records)
    index.build(tmp_path)
    rewritten(tmp_path, "SELECT * REPLACE (CASE WHEN place < 200 THEN place + 1 ELSE place END AS place) FROM '{file}'")
    asked = Asked(patient="pat-1")
    wanted = found(tmp_path, asked, Locks(), use=False)
    these, tally = found(tmp_path, asked, Locks(), use=True)
    assert (sorted(these), tally.meant) == (wanted[0], wanted[1].meant)
    assert "not that of this log" in " ".join(tally.notes)
    assert list(index.differences(index.read(tmp_path, 256)))


def test_a_row_that_is_missing_is_found_by_scanning_and_by_the_check(tmp_path: Path) -> None:
    log(tmp_path, *(decided(id=f"d{number}", epoch=1, kid="day") for number in range(256)))
    index.build(tmp_path)
    rewritten(tmp_path, "SELECT * FROM '{file}' WHERE place <> 17")
    assert found(tmp_path, Asked(patient="pat-1"), Locks(), use=False)[1].meant == 256
    assert list(index.differences(index.read(tmp_path, 256))) == ["record 17 is missing in the index"]


def test_what_is_asked_is_never_sql(tmp_path: Path) -> None:
    log(tmp_path, *(decided(epoch=1, kid="day") for _ in range(256)))
    made = index.build(tmp_path)
    for text in ("') OR true --", "x'; COPY (SELECT 1) TO '/tmp/owned", "\\"):
        asked = Asked(patient=text, effect=text, rule=text, decision=text)
        assert index.places(made, [Question(asked, Locks())], 256).places == []


def test_duckdb_sees_nothing_but_the_index(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with index.connection(tmp_path / "in") as duck:
        with pytest.raises(duckdb.Error):
            duck.execute("SELECT * FROM read_csv(?)", [str(tmp_path / "secret.csv")])
        with pytest.raises(duckdb.Error):
            duck.execute("SET enable_external_access = true")
