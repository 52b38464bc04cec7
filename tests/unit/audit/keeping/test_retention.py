"""What may go and what has to stay; a pruned log is whole from there on, and what is gone is on a sealed record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.asking.period import Period
from pdp.audit.checking import proof
from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import Report, verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.keeping import retention
from pdp.audit.keeping.prune import finish, last, left, prune
from pdp.audit.keeping.retention import Plan, marked, plan
from pdp.audit.leaf import PLAIN, instant, leaves
from pdp.audit.record import stamp
from pdp.audit.tell import tell
from pdp.audit.tree import checkpoint, merkle, pruned, tiles
from pdp.audit.tree.keys import published
from pdp.audit.tree.pruned import Pruned, Retention
from tests.unit.audit.hosts import ORIGIN, SECOND, Writer, sealed

DAY = 86_400 * 1_000_000
START = instant("2020-01-01T00:00:00Z")
NOW = instant("2030-01-01T00:00:00Z")
YEARS = Retention(6, 90)


def said(at: int, patient: str = "", **more: Any) -> str:
    """What a record of the schema goes on with."""
    members: dict[str, Any] = {"ts": stamp(at), **more}
    if patient:
        members |= {"res": {"type": "Patient"}, "detail": {"res": {"id": patient}, "patient": {"id": patient}}}
    return "," + json.dumps(members, separators=(",", ":"))[1:-1]


def old(directory: Path, bundles: int = 6, new: int = 300, each: Callable[[int], str] | None = None) -> Path:
    """A log of that many bundles of 2020, one day each, and some records of today; two slots, one of them long gone."""
    ended, writer = Writer(directory, 1), Writer(directory, 0)
    ended.write(1, said(START))
    sealed(directory)
    for number in range(1, bundles * 256):
        more = each(number) if each is not None else ""
        writer.write(1, more or said(START + number * DAY // 256))
        if number % 200 == 0:
            sealed(directory, number * SECOND)
            writer.next_segment()
    writer.write(new, said(NOW))
    sealed(directory)
    return directory


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old(tmp_path_factory.mktemp("whole") / "audit")


@pytest.fixture
def there(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "audit")
    return tmp_path / "audit"


def planned(directory: Path, now: int = NOW) -> Plan:
    return plan(directory, YEARS, PLAIN, now)


def taken(directory: Path, hashes: bool = True, now: int = NOW, **more: Any) -> Pruned:
    def wait() -> bool:
        sealed(directory)
        return True

    return prune(directory, ORIGIN, planned(directory, now), hashes=hashes, wait=wait, now=now, **more)


def looked(directory: Path, **more: Any) -> Report:
    return verify(directory, published(directory / "keys"), **more)


def bundles(directory: Path) -> list[int]:
    size = checkpoint.last(directory / "log") or 0
    return [number for number in range(size >> 8) if (directory / "log" / tiles.place(tiles.ENTRIES, number)).exists()]


def test_the_cutoff_is_years_and_a_margin_ago() -> None:
    assert stamp(YEARS.cutoff(NOW)) == "2023-10-03T00:00:00.000000Z"
    assert stamp(Retention(1, 0).cutoff(instant("2028-02-29T12:00:00Z"))) == "2027-02-28T12:00:00.000000Z"


def test_only_bundles_that_are_old_from_the_first_record_to_the_last_may_go(there: Path) -> None:
    made = planned(there)
    assert (made.min_index, made.dropped, made.records, made.kept) == (6 * 256, 6, 6 * 256, {})
    assert planned(there, instant("2026-04-03T00:00:00Z")).min_index == 3 * 256
    assert planned(there, START + 365 * DAY).min_index == 0
    assert bundles(there) == list(range(7))


def test_what_some_target_still_lacks_stays(there: Path) -> None:
    for shipped, bundles in ((0, 0), (255, 0), (256, 1), (700, 2), (10_000, planned(there).dropped)):
        made = plan(there, YEARS, PLAIN, NOW, shipped=shipped)
        assert (made.dropped, made.min_index, made.unshipped) == (bundles, bundles * 256, shipped)


def test_a_record_that_says_no_time_is_never_old(tmp_path: Path) -> None:
    made = planned(old(tmp_path, 3, each=lambda number: ' ,"ts":"no time"' if number == 300 else ""))
    assert made.min_index == 256


@pytest.mark.parametrize("hashes", [True, False], ids=["hashes kept", "hashes too"])
def test_a_pruned_log_is_whole_from_there_on_and_says_what_is_gone(there: Path, hashes: bool) -> None:
    earlier = [(there / "log" / checkpoint.place(size)).read_bytes() for size in (*list(kept(there))[-1:],)]
    what = taken(there, hashes)
    assert bundles(there) == [6]
    assert (there / "log/tile/0/000").exists() == hashes
    report = looked(there, earlier=earlier)
    assert report.findings == []
    assert [(each.min_index, each.record) for each in report.pruned] == [(1536, what.record)]
    assert (report.size, report.streams) == (1536 + 300 + 3, 3)  # With the two heartbeats of who told it.
    assert next(leaf.index for leaf in leaves(there)) == 1536
    assert last(there) == what
    assert not left(there, what)
    copy = there.parent / "copy"
    shutil.copytree(there / "log", copy)
    assert verify(copy, published(there / "keys")).findings == []


def kept(directory: Path) -> list[int]:
    return list(checkpoint.kept(directory / "log"))


def test_with_its_hashes_kept_every_checkpoint_that_ever_was_is_a_beginning_of_the_log(there: Path) -> None:
    earlier = [(there / "log" / checkpoint.place(size)).read_bytes() for size in kept(there)]
    taken(there)
    assert looked(there, earlier=earlier).findings == []
    *sizes, size = kept(there)
    tree = tiles.Tiles(there / "log", size)
    for each, data in zip(sizes, earlier, strict=True):
        path = merkle.consistency(each, size, tree.perfect)
        said = checkpoint.parse(data.decode().partition("\n\n")[0] + "\n")
        merkle.check_consistency(each, size, said.root, tree_root(there), path)


def tree_root(directory: Path) -> bytes:
    return checkpoint.read((directory / "log/checkpoint").read_bytes(), published(directory / "keys")).checkpoint.root


def test_without_hashes_an_old_checkpoint_cannot_be_compared_and_a_later_one_can(there: Path) -> None:
    sizes = kept(there)
    first, late = ((there / "log" / checkpoint.place(size)).read_bytes() for size in (sizes[2], sizes[-1]))
    taken(there, hashes=False)
    assert [each.kind for each in looked(there, earlier=[first]).findings] == [Kind.UNCOMPARED]
    assert looked(there, earlier=[late]).findings == []


def test_a_checkpoint_of_another_log_is_found_also_in_a_pruned_one(there: Path, tmp_path: Path) -> None:
    other = old(tmp_path / "other", 2)
    for each in ("1.key", "1.vkey"):
        (other / "keys" / each).write_bytes((there / "keys" / each).read_bytes())
    writer = Writer(tmp_path / "third")
    writer.write(1600, said(START, other=1))
    shutil.copytree(there / "keys", tmp_path / "third/keys")
    (tmp_path / "third/keys/promise.json").unlink()
    sealed(tmp_path / "third")
    forked = (tmp_path / "third/log/checkpoint").read_bytes()
    taken(there)
    assert Kind.FORKED in [each.kind for each in looked(there, earlier=[forked]).findings]


def test_a_record_above_is_proven_as_before(there: Path) -> None:
    taken(there, hashes=False)
    keys = published(there / "keys")
    ((index, record),) = list(tiles.records(there / "log", 1537, first=1536))
    assert proof.check(proof.prove(there / "log", index, record, keys), keys).index == 1536
    assert [index for index, _ in proof.find(there / "log", 1537, json.loads(record)["id"])] == [1536]


def test_what_is_missing_without_a_record_is_missing(there: Path) -> None:
    (there / "log" / tiles.place(tiles.ENTRIES, 2)).unlink()
    assert looked(there).findings[0].kind is Kind.MISSING
    fake = Pruned(1536, record="told-1", index=1700)
    (there / "log/pruned").write_bytes(fake.encoded())
    assert looked(there).findings[0].kind is Kind.MISSING


def test_more_than_the_record_says_is_missing(there: Path) -> None:
    what = taken(there)
    (there / "log" / tiles.place(tiles.ENTRIES, 6)).unlink()
    (there / "log/pruned").write_bytes(Pruned(7 * 256, record=what.record, index=what.index).encoded())
    assert Kind.MISSING in [each.kind for each in looked(there).findings]


def test_hashes_that_no_record_took_out_are_missing(there: Path) -> None:
    what = taken(there, hashes=True)
    (there / "log" / tiles.place(0, 2)).unlink()
    assert Kind.MISSING in [each.kind for each in looked(there).findings]
    said = json.loads((there / "log/pruned").read_bytes()) | {"hashes": "dropped"}
    (there / "log/pruned").write_text(json.dumps(said))
    assert Kind.MISSING in [each.kind for each in looked(there).findings]
    assert what.hashes


@pytest.mark.parametrize("harm", ["gone", "garbage"])
def test_without_the_word_for_readers_a_pruned_log_is_not_whole_and_the_next_pruning_mends_it(
    there: Path, harm: str
) -> None:
    what = taken(there)
    if harm == "gone":
        (there / "log/pruned").unlink()
    else:
        (there / "log/pruned").write_text("{")
    assert Kind.MISSING in [each.kind for each in looked(there).findings]
    with pytest.raises(EvidenceError):
        list(leaves(there))
    finish(there, what)
    assert looked(there).findings == []


def test_a_record_that_is_changed_above_is_found(there: Path) -> None:
    taken(there, hashes=False)
    path = there / "log" / tiles.place(tiles.ENTRIES, 6)
    data = bytearray(path.read_bytes())
    data[5_000] ^= 1
    path.write_bytes(data)
    assert Kind.CHANGED in [each.kind for each in looked(there).findings]


def test_a_second_pruning_goes_on_from_the_first(there: Path) -> None:
    first = taken(there, hashes=False, now=instant("2026-04-03T00:00:00Z"))
    assert first.min_index == 768
    again = taken(there, hashes=True)
    assert (again.min_index, again.hashes) == (1536, False)  # What is gone is gone.
    assert looked(there).findings == []
    assert len(looked(there).pruned) == 2


# --------------------------------------------------------------------------------------------------------------- holds


def hold(directory: Path, reason: str = "a lawsuit", **what: Any) -> str:
    members, detail = retention.said(PLAIN, reason, **what)
    if detail is not None:
        members["detail"] = detail
    identifier = tell(directory, ORIGIN, retention.HOLD, members, now=NOW)
    sealed(directory)
    return identifier


def release(directory: Path, identifier: str) -> None:
    tell(directory, ORIGIN, retention.RELEASE, {"of": identifier, "reason": "settled"}, now=NOW)
    sealed(directory)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """In bundle 1 somebody saw p7, and in bundle 3."""

    def each(number: int) -> str:
        at = START + number * DAY // 256
        return said(at, "p7" if number in (300, 900) else "p1")

    return old(tmp_path / "audit", 5, each=each)


def test_bundles_with_records_of_a_held_patient_stay_and_others_go(patients: Path) -> None:
    identifier = hold(patients, patient="p7")
    made = planned(patients)
    assert made.kept == {1: (f"held by {identifier}",), 3: (f"held by {identifier}",)}
    taken(patients, hashes=False)
    assert bundles(patients) == [1, 3, 5]
    assert (patients / "log/tile/0/001").exists()
    assert not (patients / "log/tile/0/002").exists()
    assert looked(patients).findings == []
    keys = published(patients / "keys")
    (record,) = [record for index, record in tiles.records(patients / "log", 1536) if index == 300]
    assert proof.check(proof.prove(patients / "log", 300, record, keys), keys).index == 300


def test_what_is_held_may_not_be_missing(patients: Path) -> None:
    hold(patients, patient="p7")
    taken(patients)
    (patients / "log" / tiles.place(tiles.ENTRIES, 3)).unlink()
    assert Kind.MISSING in [each.kind for each in looked(patients).findings]


def test_what_is_released_goes_with_the_next_pruning(patients: Path) -> None:
    identifier = hold(patients, patient="p7")
    taken(patients)
    release(patients, identifier)
    taken(patients)
    assert bundles(patients) == [5]
    assert looked(patients).findings == []


def test_a_hold_counts_before_it_is_sealed(patients: Path) -> None:
    members, detail = retention.said(PLAIN, "at once", patient="p7")
    tell(patients, ORIGIN, retention.HOLD, {**members, "detail": detail}, now=NOW)
    assert sorted(planned(patients).kept) == [1, 3]


def test_a_period_is_held(patients: Path) -> None:
    hold(patients, period=Period(START + 2 * DAY, START + 2 * DAY + 1))
    assert sorted(planned(patients).kept) == [2]


def test_a_hold_that_nobody_can_read_holds_everything(patients: Path) -> None:
    tell(patients, ORIGIN, retention.HOLD, {"reason": "?", "hold": {"patient": []}}, now=NOW)
    assert sorted(planned(patients).kept) == [0, 1, 2, 3, 4]


def test_a_record_whose_detail_cannot_be_opened_is_held_with_a_person(tmp_path: Path) -> None:
    def each(number: int) -> str:
        detail = {"kid": "gone", "c": "AAAA"} if number == 300 else {"res": {"id": "p1"}}
        return said(START, res={"type": "Patient"}, detail=detail)

    directory = old(tmp_path, 3, each=each)
    hold(directory, patient="p7")
    assert sorted(planned(directory).kept) == [1]


def test_an_old_hold_that_is_in_force_stays_itself_and_its_end_with_it(tmp_path: Path) -> None:
    def each(number: int) -> str:
        if number == 300:
            return said(START, kind=retention.HOLD, reason="r", hold={"first": 0, "after": 1})
        return ""

    directory = old(tmp_path, 4, each=each)
    (found,) = marked(directory, PLAIN).active
    assert (found.index, found.asked[0].period) == (300, Period(0, 1))
    assert sorted(planned(directory).kept) == [1]
    release(directory, found.id)
    assert sorted(planned(directory).kept) == []


def test_a_policy_set_that_is_in_effect_keeps_the_record_that_says_so(tmp_path: Path) -> None:
    at = {300: "a", 600: "b", 900: "b"}

    def each(number: int) -> str:
        return said(START + number, kind="policy.activate", bundle={"sha256": at[number]}) if number in at else ""

    made = planned(old(tmp_path, 5, each=each))
    assert sorted(made.kept) == [2, 3]


# -------------------------------------------------------------------------------------------------------------- crashes


class Failing(Files):
    def __init__(self, left: int) -> None:
        self.left = left

    def unlink(self, path: Path) -> None:
        self._call()
        super().unlink(path)

    def rename(self, old: Path, new: Path) -> None:
        self._call()
        super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self._call()
        super().sync_directory(path)

    def _call(self) -> None:
        self.left -= 1
        if not self.left:
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize("number", range(1, 14))
def test_what_was_interrupted_is_whole_to_a_verifier_and_is_gone_on_with(there: Path, number: int) -> None:
    with suppress(EvidenceError):
        taken(there, hashes=False, files=Failing(number))
    assert looked(there).findings == []
    finish(there, last(there))
    assert looked(there).findings == []
    assert bundles(there) == [6]
    assert not left(there, last(there))


def test_where_its_record_is_not_sealed_nothing_goes(there: Path) -> None:
    with pytest.raises(EvidenceError, match="not sealed"):
        prune(there, ORIGIN, planned(there), hashes=True, wait=lambda: False, now=NOW)
    assert bundles(there) == list(range(7))
    assert pruned.read(there / "log") == pruned.NOTHING
