"""Detection as the log grows, on a real log: records on disk, encrypted, sealed. Stopped anywhere, it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.decided import Record
from pdp.audit.detect import alerts as alerting
from pdp.audit.detect import watch as watching
from pdp.audit.detect.told import CASE, DISPOSITION, FINDING, Teller, cases
from pdp.audit.detect.wanted import To, Watching
from pdp.audit.detect.watch import Watch
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.wal import Wal
from pdp.audit.leaf import PLAIN, Leaf, leaves
from pdp.audit.record import payloads
from pdp.audit.tree.sealer import Sealer
from pdp.audit.veil.privacy import Keys, Veil, vault_of
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request
from tests.unit.audit.detect.house import DAY, HOUR, NOON, House, patient

ORIGIN = "pdp.example/host"
SEGMENT = 256 * 1_024
PERMIT = Decision(Effect.ALLOW, Reason.PERMITTED, ("a-rule",), program_digest="p", data_revision="d")
NOW = NOON / 1e6 + 3_600


@dataclass
class Site:
    """A log that encrypts, and the facts of a house in which bob keeps ann away."""

    directory: Path
    house: House
    number: int = 0

    @property
    def opener(self) -> Keys:
        found = vault_of(self.directory)
        assert found is not None
        return Keys(found)

    def accesses(self, *patients: str, who: str = "ann", time: int = NOON) -> None:
        """Decided, written, sealed."""
        veil = Veil(self.directory, clock=lambda: NOON * 1_000)
        veil.make()
        wal = Wal(self.directory, ORIGIN, segment_bytes=SEGMENT, reserve_bytes=SEGMENT, clock=lambda: time * 1_000)
        made = []
        for each in patients:
            self.number += 1
            request = Request("user", who, "list", "Chart", each)
            moment = time + self.number * 1_000_000
            record = Record(moment, f"d-{self.number}", "authzen", "app", PERMIT, request, patient=each)
            made += payloads(record, veil)
        wal.append(made).wait(5)
        wal.close()
        self.seal()

    def seal(self) -> None:
        sealer = Sealer(self.directory, ORIGIN)
        while sealer.step(NOON * 1_000).more:
            pass
        sealer.close()

    def watch(self, **more: Any) -> Watch:
        rules = self.directory.parent / "rules.toml"
        rules.write_text("[rule.M20]\nenabled = false\n")  # What is told has the time of today.
        said = Watching(context=self.house.directory, rules=rules, **more)
        return Watch(self.directory, ORIGIN, self.opener, said, (self.to,))

    @property
    def to(self) -> To:
        return To("file", file=self.directory.parent / "alerts.jsonl")

    @property
    def alerts(self) -> list[dict[str, Any]]:
        path = self.directory.parent / "alerts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def told(self, *kinds: str) -> list[Leaf]:
        return [each for each in leaves(self.directory, self.opener) if each.kind in (kinds or (FINDING,))]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    people = [patient(f"pat-{each}", excludes=["ann"]) for each in range(9)]
    (tmp_path / "audit").mkdir()
    return Site(tmp_path / "audit", House(tmp_path, *people))


def drained(watch: Watch, now: float = NOW) -> None:
    """All that is there, and what waits for its turn: the time of the log goes on by itself."""
    watch.step(now)
    assert watch.detector is not None
    watch._told(watch.detector.rest(), now)
    watch.outbox.deliver(now)
    watch.outbox.save()


def test_what_is_found_is_on_record_and_then_told_and_says_nobody_in_clear(site: Site) -> None:
    site.accesses("pat-1", "pat-2")
    drained(site.watch())
    found = site.told()
    assert [each.members["rule"] for each in found] == ["M18", "M18"]
    assert [(each.detail["sub"]["id"], each.detail["patient"]["id"]) for each in found] == [
        ("ann", "pat-1"),
        ("ann", "pat-2"),
    ]
    for each in site.told(FINDING, CASE):
        assert b"pat-" not in each.payload
        assert b'"ann"' not in each.payload
        assert each.members["sub"]["id_p"] in site.opener.names("user", "ann")
    assert [each["score"] for each in site.alerts] == [40]
    assert [each.members["score"] for each in site.told(CASE)] == [40]


def test_found_again_after_a_crash_is_not_recorded_and_not_told_again(site: Site) -> None:
    site.accesses("pat-1", "pat-2", "pat-3")
    drained(site.watch())
    recorded, told = len(site.told(FINDING, CASE)), len(site.alerts)
    assert (recorded, told) == (5, 2)
    for _ in range(2):  # Whatever was learned is lost: nothing of it was saved.
        (site.directory / "detect" / "state.json").unlink(missing_ok=True)
        drained(site.watch())
    site.seal()
    drained(site.watch())
    assert (len(site.told(FINDING, CASE)), len(site.alerts)) == (recorded, told)


def test_it_goes_on_where_it_was_with_what_it_had_learned(site: Site) -> None:
    site.accesses("p-1", "p-2", "p-3", "p-4")
    first = site.watch()
    first.step(NOW)
    first.save(NOW)
    site.seal()
    site.accesses("p-5", time=NOON + HOUR)
    second = site.watch()
    drained(second)
    assert [each.members["rule"] for each in site.told()] == ["M11"]
    kept = json.loads((site.directory / "detect" / "state.json").read_text())
    assert (site.directory / "detect" / "state.json").stat().st_mode & 0o777 == 0o600
    assert kept["next"] > 0


def test_who_has_read_to_the_end_waits_for_nobody_but_the_margin(site: Site) -> None:
    site.accesses("pat-1")
    watch = site.watch()
    watch.step(NOON / 1e6 + 9)
    assert site.told() == []
    watch.step(NOON / 1e6 + 12)
    assert [each.members["rule"] for each in site.told()] == ["M18"]


def test_batches_end_and_go_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BATCH", 2)
    site.accesses(*(f"pat-{each}" for each in range(5)))
    watch = site.watch()
    assert watch.step(NOW)
    while watch.step(NOW):
        pass
    drained(watch)
    assert len(site.told()) == 6  # M11 as well.


def test_what_is_long_ago_is_learned_from_and_not_told(site: Site) -> None:
    site.accesses("pat-1")
    watch = site.watch(first_days=1)
    drained(watch, NOW + 10 * 86_400)
    assert (site.told(), site.alerts) == ([], [])


def test_the_log_is_read_from_as_far_back_as_rules_look(site: Site) -> None:
    site.accesses("pat-1", time=NOON)
    site.accesses("pat-2", time=NOON + 300 * DAY)
    sealed = {each.id: each.index for each in leaves(site.directory)}
    watch = site.watch(first_days=1_000)
    watch._begun(NOW + 300 * 86_400)
    assert sealed["d-1"] < watch.next <= sealed["d-2"]  # type: ignore[operator]


def test_files_of_the_context_that_change_are_read_again_and_bad_ones_are_not_used(site: Site) -> None:
    site.accesses("p-1")
    watch = site.watch()
    watch.step(NOW)
    site.house.file("employees", "staff,patient", "ann,p-1")
    watch.step(NOW + 61)
    site.accesses("p-1", time=NOON + 60_000_000)
    drained(watch, NOW + 62)
    assert "M5" in [each.members["rule"] for each in site.told()]
    site.house.file("employees", "staff", "ann")
    watch.step(NOW + 200)
    assert "no column patient" in watch.problem
    site.house.file("employees", "staff,patient", "bob,p-1")
    watch.step(NOW + 300)
    assert watch.problem == ""


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1}', '{"version": 9, "next": 0}'])
def test_a_state_that_is_none_is_said_and_nothing_is_done(site: Site, text: str) -> None:
    site.accesses("pat-1")
    (site.directory / "detect").mkdir()
    (site.directory / "detect" / "state.json").write_text(text)
    with pytest.raises(EvidenceError, match="move it away"):
        site.watch().step(NOW)
    assert site.told() == []


def test_a_case_is_gathered_from_the_log_and_what_was_found_of_it_holds(site: Site) -> None:
    site.accesses("pat-1", "pat-2")
    drained(site.watch())
    (known,) = cases(leaves(site.directory, site.opener)).values()
    assert (known.type, known.who, known.score, known.disposition) == ("user", "ann", 40, "open")
    assert [each["patient"] for each in known.findings] == ["pat-1", "pat-2"]
    Teller(site.directory, ORIGIN).disposition(known, "appropriate", "covered for a colleague")
    (said,) = site.told(DISPOSITION)
    assert b"colleague" not in said.payload
    (known,) = cases(leaves(site.directory, site.opener)).values()
    assert (known.disposition, known.dispositions[0]["note"]) == ("appropriate", "covered for a colleague")
    site.seal()
    before = len(site.told())
    site.accesses("pat-1", "pat-3", time=NOON + DAY)
    drained(site.watch(), NOW + 86_400)
    assert [each.detail["patient"]["id"] for each in site.told()[before:]] == ["pat-3"]


def test_without_keys_a_case_has_pseudonyms_and_no_note(site: Site) -> None:
    site.accesses("pat-1")
    drained(site.watch())
    (known,) = cases(leaves(site.directory, PLAIN)).values()
    assert known.who in site.opener.names("user", "ann")
    assert known.findings[0]["patient"] in site.opener.names("Patient", "pat-1")


def test_rules_that_are_none_any_more_are_told_and_end_no_process(site: Site) -> None:
    site.accesses("pat-1")
    rules = site.directory.parent / "broken.toml"
    rules.write_text("[rule.M1]\nthreshold = 'many'\n")
    with pytest.raises(EvidenceError, match="the rules cannot be used"):
        Watch(site.directory, ORIGIN, site.opener, Watching(context=site.house.directory, rules=rules), ())


def test_a_storm_of_alerts_loses_none_where_somebody_takes_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "MOST", 2)
    site.accesses(*(f"pat-{number}" for number in range(9)))
    watch = site.watch()
    drained(watch)
    assert watch.outbox.dropped == 0
    assert len(site.alerts) == len(site.told(CASE)) > 2


def test_what_was_learned_is_kept_after_the_clock_was_set_back(site: Site) -> None:
    site.accesses("pat-1", "pat-2")
    watch = site.watch()
    watch.step(NOW + 3_650 * 86_400)
    state = site.directory / "detect" / "state.json"
    state.unlink(missing_ok=True)
    watch.step(NOW)
    assert state.exists()
