"""What a record hides, from whom, and who can still read it: attacks on it, and the days on which keys come and go."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.journal.frames import MAX_PAYLOAD
from pdp.audit.journal.wal import STAMP_ROOM
from pdp.audit.leaf import CLEAR, DAMAGED, ERASED, LOCKED, leaf, leaves
from pdp.audit.log import Found, Log, Record, Refused, Who
from pdp.audit.record import payloads
from pdp.audit.tell import tell
from pdp.audit.tree.sealer import Sealer
from pdp.audit.veil import privacy
from pdp.audit.veil.privacy import Keys, Veil, in_clear, vault_of, veil_of
from pdp.audit.veil.vault import Vault
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request
from tests.unit.audit.disks import RESERVE, SEGMENT

DAY = 86_400_000_000
NOON = 1_795_219_200_000_000 // DAY * DAY + DAY // 2
PERMIT = Decision(Effect.ALLOW, Reason.PERMITTED, ("readers",), program_digest="p", data_revision="d")
REQUEST = Request("user", "alice-of-ward-7", "read", "record", "record-0815")
WHO = Who("member", "portal-account-99", "token", "https://idp", "app", ("the-daughter-of-bob",), ("read",))
ORIGIN = "pdp.example/host"


class Clock:
    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now * 1_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def veil(tmp_path: Path, clock: Clock) -> Veil:
    made = Veil(tmp_path, clock=clock, hidden=("member",), patient_type="patient")
    made.make()
    return made


@pytest.fixture
def keys(veil: Veil, tmp_path: Path) -> Keys:
    found = vault_of(tmp_path)
    assert found is not None
    return Keys(found)


def record(name: str = "id-1", now: int = NOON, **more: Any) -> Record:
    given = {"time": now, "decision_id": name, "door": "authzen", "pep": "portal", "decision": PERMIT}
    return Record(**given | {"request": REQUEST, "who": WHO, "patient": "bob-born-1960"} | more)  # type: ignore[arg-type]


def members(veil: Veil | None, *args: Any, **more: Any) -> dict[str, Any]:
    (payload,) = payloads(record(*args, **more), veil)
    found: dict[str, Any] = json.loads(payload)
    return found


# ------------------------------------------------------------------------------------------------------ what is hidden


def test_the_clear_part_knows_things_and_patients_by_pseudonyms_and_the_detail_by_name(veil: Veil, keys: Keys) -> None:
    found = members(veil)
    assert found["res"] == {
        "type": "record",
        "id_p": veil.name("record", "record-0815"),
        "patient_p": veil.name("patient", "bob-born-1960"),
    }
    assert found["sub"] == {"type": "user", "id": "alice-of-ward-7"}
    assert (found["identity"]["type"], found["identity"]["id_p"]) == (
        "member",
        veil.name("member", "portal-account-99"),
    )
    assert "id" not in found["identity"]
    assert set(found["detail"]) == {"kid", "c"}
    assert keys.open(found) == (
        {
            "sub": {"id": "alice-of-ward-7"},
            "res": {"id": "record-0815"},
            "patient": {"id": "bob-born-1960"},
            "identity": {"id": "portal-account-99"},
            "actors": ["the-daughter-of-bob"],
        },
        CLEAR,
    )


def test_a_pseudonym_has_the_form_that_readers_look_for(veil: Veil) -> None:
    assert veil.name("record", "x").startswith("p1-")
    assert len(veil.name("record", "x")) == 3 + 26
    assert veil.name("record", "x") == veil.name("record", "x") != veil.name("patient", "x")
    assert veil.name("record", "x" * 5_000) != veil.name("record", "x" * 5_001)


def test_every_subject_is_hidden_where_the_settings_say_so(tmp_path: Path, clock: Clock) -> None:
    veil = Veil(tmp_path, subjects=True, clock=clock)
    veil.make()
    assert members(veil)["sub"] == {"type": "user", "id_p": veil.name("user", "alice-of-ward-7")}


def test_patients_are_hidden_as_subjects_too(veil: Veil) -> None:
    found = members(veil, request=Request("patient", "bob-born-1960", "read", "record", "r"), who=None)
    assert found["sub"] == {"type": "patient", "id_p": found["res"]["patient_p"]}


def test_names_that_nobody_declared_are_hidden(veil: Veil, keys: Keys) -> None:
    asked = Request("bob", "b", "read bob", "record of bob", "1")
    found = members(veil, request=asked, purpose="to see bob", strange=("sub", "act", "res", "pou"), who=None)
    assert (found["sub"]["type"], found["act"]["action"], found["res"]["type"], found["pou"]) == (
        "?",
        "?",
        "?",
        {"asserted": "?"},
    )
    assert "id" not in found["sub"]
    detail, _ = keys.open(found)
    assert detail["sub"] == {"id": "b", "type": "bob"}
    assert detail["act"] == {"action": "read bob"}
    assert detail["res"] == {"id": "1", "type": "record of bob"}
    assert detail["pou"] == {"asserted": "to see bob"}


def test_a_record_with_nothing_to_hide_needs_no_key(tmp_path: Path) -> None:
    veil = Veil(tmp_path)  # Without keys.
    refusal = record(request=None, who=None, patient="", decision=Decision(Effect.DENY, Reason.UNKNOWN_PEP))
    assert json.loads(payloads(refusal, veil)[0])["detail"] == {}
    with pytest.raises(EvidenceError):
        payloads(record(), veil)


IDS = st.text(alphabet=st.characters(codec="utf-8"), min_size=12, max_size=60)


@settings(deadline=None, max_examples=150)
@given(subject=IDS, resource=IDS, patient=IDS, account=IDS, names=st.lists(IDS, max_size=8), action=IDS, kind=IDS)
def test_no_id_stands_in_the_bytes_of_any_record(
    subject: str,
    resource: str,
    patient: str,
    account: str,
    names: list[str],
    action: str,
    kind: str,
    tmp_path_factory: Any,
) -> None:
    veil = Veil(_shared(tmp_path_factory), subjects=True, clock=Clock())
    veil.make()
    request = Request(kind, subject, action, kind + "x", resource)
    who = Who("member", account, "token", actors=(account,))
    found = Found("resource", tuple(names), len(names), 0, False)
    refused = Refused("idp", "member", account)
    for each in (
        record(request=request, who=who, patient=patient, strange=("sub", "act", "res")),
        record(request=request, who=who, patient=patient, found=found, strange=("sub", "act", "res")),
        record(request=None, who=None, patient="", refused=refused, decision=Decision(Effect.DENY, Reason.FAULT)),
    ):
        for payload in payloads(each, veil):
            for secret in (subject, resource, patient, account, action, kind, *names):
                assert secret.encode() not in payload
                assert json.dumps(secret)[1:-1].encode() not in payload


_kept: list[Path] = []


def _shared(factory: Any) -> Path:
    if not _kept:
        _kept.append(factory.mktemp("shared"))
    return _kept[0]


# ------------------------------------------------------------------------------------------------------------ attacks


def test_the_details_of_two_decisions_that_were_swapped_are_damaged(veil: Veil, keys: Keys) -> None:
    one, other = members(veil, "a"), members(veil, "b")
    one["detail"], other["detail"] = other["detail"], one["detail"]
    assert [keys.open(each) for each in (one, other)] == [({}, DAMAGED)] * 2


def test_the_detail_of_a_decision_does_not_open_in_a_record_of_another_kind_or_part(veil: Veil, keys: Keys) -> None:
    found = members(veil)
    assert keys.open({**found, "kind": "finding"}) == ({}, DAMAGED)
    assert keys.open({**found, "part": 2}) == ({}, DAMAGED)
    assert keys.open(found)[1] == CLEAR


def test_one_bit_of_a_detail_is_found(veil: Veil, keys: Keys) -> None:
    found = members(veil)
    data = bytearray(base64.b64decode(found["detail"]["c"]))
    for at in (0, 11, 12, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        assert (
            keys.open({**found, "detail": {**found["detail"], "c": base64.b64encode(changed).decode()}})[1] == DAMAGED
        )


@pytest.mark.parametrize(
    "detail",
    [
        None,
        [],
        "x",
        {"kid": 1, "c": ""},
        {"kid": "../../master", "c": ""},
        {"kid": "20261121-00000000\n", "c": ""},
    ],
)
def test_a_detail_that_is_none_is_damaged(keys: Keys, detail: object) -> None:
    assert keys.open({"id": "a", "kind": "decision", "detail": detail}) == ({}, DAMAGED)


@pytest.mark.parametrize("cipher", [None, 1, "", "AAAA", "é", "A" * 64])
def test_a_ciphertext_that_is_none_is_damaged(veil: Veil, keys: Keys, cipher: object) -> None:
    found = members(veil)
    assert keys.open({**found, "detail": {"kid": found["detail"]["kid"], "c": cipher}}) == ({}, DAMAGED)


def test_a_key_that_is_not_there_and_was_not_erased_is_locked(veil: Veil, keys: Keys) -> None:
    found = members(veil)
    assert keys.open({**found, "detail": {**found["detail"], "kid": "20200101-00000000"}}) == ({}, LOCKED)


def test_no_nonce_is_used_twice_by_many_threads_and_forks(veil: Veil) -> None:
    def nonces(count: int) -> list[str]:
        return [veil.sealed({"a": 1}, "i", "k", NOON)["c"][:16] for _ in range(count)]

    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(nonces(2_000))) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    read, write = os.pipe()
    for _ in range(4):
        if os.fork() == 0:
            os.write(write, "".join(nonces(200)).encode())
            os._exit(0)
    for _ in range(4):
        os.wait()
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    found += [told[at : at + 16] for at in range(0, len(told), 16)]
    assert len(found) == 12_000 + 800
    assert len(set(found)) == len(found)


def test_a_lone_surrogate_anywhere_is_an_error_and_no_record(veil: Veil) -> None:
    for request in (
        Request("user", "\ud800", "read", "record", "r"),
        Request("user", "a", "read", "record", "\ud800"),
        Request("\ud800", "a", "read", "record", "r"),
    ):
        with pytest.raises(EvidenceError):
            payloads(record(request=request), veil)
    with pytest.raises(EvidenceError):
        payloads(record(patient="\ud800"), veil)
    with pytest.raises(EvidenceError):
        payloads(record(found=Found("resource", ("a", "\ud800"), 2, 0, False)), veil)


def test_names_of_a_megabyte_fit_into_one_record(veil: Veil, keys: Keys) -> None:
    long = "\u1234" * 1_000_000
    who = Who("member", long, "token", long, long, (long,) * 100, (long,) * 100)
    found = members(veil, request=Request(long, long, long, long, long), who=who, discarded=[long] * 100, patient=long)
    assert len(json.dumps(found)) + STAMP_ROOM <= MAX_PAYLOAD
    detail, opened = keys.open(found)
    assert opened == CLEAR
    assert set(detail["res"]["id"]) == {"sha256", "length"}


def test_two_long_names_that_begin_alike_are_two_names_in_the_record_too(veil: Veil, keys: Keys) -> None:
    said = []
    for end in ("1", "2"):
        name = "x" * 2_000 + end
        found = members(veil, request=Request("user", name, "read", "record", name), patient=name, who=None)
        detail = keys.open(found)[0]
        said.append((found["sub"]["id"], detail["sub"]["id"], detail["res"]["id"], detail["patient"]["id"]))
        assert {len(each) for each in said[-1]} == {1_024}
    assert all(one != other for one, other in zip(*said, strict=True))


def test_what_is_too_long_in_a_detail_is_told_by_digest_and_length_within_it(veil: Veil, keys: Keys) -> None:
    rules = tuple(f"rule-{each}" * 10 for each in range(5_000))
    found = members(veil, decision=Decision(Effect.ALLOW, Reason.PERMITTED, rules, program_digest="p"))
    assert len(found["dec"]["rule"]["sha256"]) == 64
    assert keys.open(found)[0]["res"] == {"id": "record-0815"}


@pytest.mark.parametrize("letter", ["é", "\U0001f600", "\\", "a", "\x01"])
def test_a_search_names_all_that_it_gave_away_whatever_the_names_are(veil: Veil, keys: Keys, letter: str) -> None:
    names = tuple(f"patient-{each:05d}-" + letter * 30 for each in range(3_000))
    rules = tuple(f"rule-number-{each:04d}" for each in range(900))
    found = Found("resource", names, 3_000, 0, False)
    parts = payloads(record(decision=Decision(Effect.ALLOW, Reason.PERMITTED, rules), found=found), veil)
    assert max(map(len, parts)) + STAMP_ROOM <= MAX_PAYLOAD
    details = [keys.open(json.loads(each)) for each in parts]
    assert [name for detail, _ in details for name in detail["results"]] == list(names)
    first, second = (json.loads(each) for each in parts[1:3])
    assert keys.open({**first, "detail": second["detail"]}) == ({}, DAMAGED)


# ----------------------------------------------------------------------------------------------------- days and clocks


def test_each_day_has_a_key_and_the_next_one_is_made_before_it_is_needed(
    veil: Veil, clock: Clock, tmp_path: Path
) -> None:
    today, tomorrow = (each.kid for each in Vault(tmp_path / "privacy").days())
    assert members(veil)["detail"]["kid"] == today
    assert members(veil, now=NOON + DAY)["detail"]["kid"] == tomorrow
    clock.now += DAY
    veil.look()
    assert len(Vault(tmp_path / "privacy").days()) == 3


def test_a_clock_that_steps_over_midnight_and_back_loses_nothing(veil: Veil, keys: Keys, clock: Clock) -> None:
    midnight = NOON // DAY * DAY + DAY
    found = []
    for step in (-1, 1, -1, DAY, -DAY, 1, -2 * DAY, -1, 40 * DAY, 1):
        clock.now = midnight + step
        veil.look()
        found.append(members(veil, now=clock.now))
    assert [keys.open(each)[1] for each in found] == [CLEAR] * len(found)
    by_day: dict[str, set[str]] = {}
    for each in found:
        by_day.setdefault(each["ts"][:10], set()).add(each["detail"]["kid"])
    assert all(len(kids) == 1 for kids in by_day.values())
    assert all(kid.startswith(day.replace("-", "")) for day, kids in by_day.items() for kid in kids)


def test_a_record_goes_with_the_day_that_it_is_of_not_with_the_clock(veil: Veil, clock: Clock) -> None:
    clock.now = NOON + DAY
    veil.look()
    assert members(veil, now=NOON)["detail"]["kid"].startswith(members(veil, now=NOON)["ts"][:10].replace("-", ""))


def test_two_processes_write_with_the_same_keys(veil: Veil, tmp_path: Path, clock: Clock) -> None:
    other = Veil(tmp_path, clock=clock)
    other.make()
    assert members(other)["detail"]["kid"] == members(veil)["detail"]["kid"]
    assert other.name("record", "x") == veil.name("record", "x")


def test_an_erased_day_is_erased_for_readers_and_written_with_another_key(
    veil: Veil, keys: Keys, tmp_path: Path, clock: Clock
) -> None:
    before = members(veil)
    Vault(tmp_path / "privacy").erase(before["detail"]["kid"], "2026")
    fresh = Keys(Vault(tmp_path / "privacy"))
    assert fresh.open(before) == ({}, ERASED)
    veil.look()
    after = members(veil)
    assert after["detail"]["kid"] != before["detail"]["kid"]
    assert fresh.open(after)[1] == CLEAR


def test_what_was_under_way_when_its_day_was_erased_goes_with_the_next_day_and_what_is_older_nowhere(
    veil: Veil, tmp_path: Path, clock: Clock
) -> None:
    first = members(veil)["detail"]["kid"]
    clock.now = NOON + DAY // 2 + 1
    veil.look()
    vault = Vault(tmp_path / "privacy")
    vault.erase(first, "now")
    veil.look()
    late = members(veil, now=NOON)["detail"]["kid"]
    assert late == members(veil, now=clock.now)["detail"]["kid"]
    vault.erase(late, "now")
    clock.now = NOON  # A clock that was set back to days that are no more.
    veil.look()
    assert "was erased" in veil.problem
    with pytest.raises(EvidenceError):
        members(veil, now=NOON)
    assert [each.kid for each in vault.days() if not each.erased and each.kid[:8] <= late[:8]] == []


def test_who_has_read_a_day_cannot_once_it_is_erased(
    veil: Veil, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = members(veil)
    assert keys.open(found)[1] == CLEAR
    Vault(tmp_path / "privacy").erase(found["detail"]["kid"], "now")
    monkeypatch.setattr(privacy, "LOOK_SECONDS", -1.0)
    assert keys.open(found) == ({}, ERASED)


# ------------------------------------------------------------------------------------------------------------- epochs


def test_a_patient_is_followed_over_two_rotations_by_the_real_id(veil: Veil, keys: Keys, tmp_path: Path) -> None:
    found = [members(veil)]
    for _ in range(2):
        Vault(tmp_path / "privacy").rotate_pseudonyms()
        veil.look()
        found.append(members(veil))
    names = keys.names("patient", "bob-born-1960")
    assert len(names) == 3
    assert {each["res"]["patient_p"] for each in found} == names
    assert [each["res"]["patient_p"][:3] for each in found] == ["p1-", "p2-", "p3-"]
    assert names.isdisjoint(keys.names("patient", "carol"))
    assert keys.names("patient", "\ud800") == frozenset()


def test_who_has_no_keys_has_no_names_and_no_details(veil: Veil, tmp_path: Path) -> None:
    found = members(veil)
    (tmp_path / "privacy/master.key").unlink()
    without = Keys(Vault(tmp_path / "privacy"))
    assert without.open(found) == ({}, LOCKED)
    assert without.names("patient", "bob-born-1960") == frozenset()


# ---------------------------------------------------------------------------------------- what happens to a running log


@pytest.fixture
def log(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("pdp.audit.log.LOOK_SECONDS", 0.0)
    opened = Log(
        tmp_path / "audit",
        ORIGIN,
        veil=Veil(tmp_path / "audit", clock=clock, patient_type="patient"),
        segment_bytes=SEGMENT,
        reserve_bytes=RESERVE,
    )
    opened.open()
    yield opened
    opened.close()


def test_keys_that_are_deleted_while_it_runs_stop_everything_that_has_something_to_hide(
    log: Log, tmp_path: Path
) -> None:
    log.hand([record("a")]).wait(5)
    aside = tmp_path / "aside"
    (tmp_path / "audit/privacy").rename(aside)
    with pytest.raises(EvidenceError, match="keys"):
        log.hand([record("b")])
    with pytest.raises(EvidenceError):
        log.probe()
    log.hand([record("c", request=None, who=None, patient="")]).wait(5)  # A refusal that says nothing of anybody.
    assert not (tmp_path / "audit/privacy").exists()
    aside.rename(tmp_path / "audit/privacy")
    log.probe()
    log.hand([record("d")]).wait(5)
    found = [
        each for each in leaves(tmp_path / "audit", Keys(Vault(tmp_path / "audit/privacy"))) if each.kind == "decision"
    ]
    assert [(each.id, each.opened) for each in found] == [("a", CLEAR), ("c", CLEAR), ("d", CLEAR)]


@pytest.mark.parametrize("name", ["days", "pseudonyms", "id"])
def test_each_part_of_the_keys_is_missed(log: Log, tmp_path: Path, name: str) -> None:
    path = tmp_path / "audit/privacy" / name
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(EvidenceError):
        log.hand([record("b")])


def test_keys_of_another_log_are_not_written_with(log: Log, tmp_path: Path, clock: Clock) -> None:
    other = Veil(tmp_path / "other", clock=clock)
    (tmp_path / "other").mkdir()
    other.make()
    shutil.rmtree(tmp_path / "audit/privacy")
    shutil.copytree(tmp_path / "other/privacy", tmp_path / "audit/privacy")
    with pytest.raises(EvidenceError):
        log.hand([record("b")])
    with pytest.raises(EvidenceError, match="not those of the log"):
        Veil(tmp_path / "audit", clock=clock).make()


@pytest.mark.parametrize("content", [b"5a" * 32 + b"\n", b"", None])
def test_a_master_key_that_is_another_one_is_said_as_soon_as_it_is_looked_at(
    log: Log, tmp_path: Path, content: bytes | None
) -> None:
    log.probe()
    assert log.warning == ""
    master = tmp_path / "audit/privacy/master.key"
    kept = master.rename(tmp_path / "kept")
    if content is not None:
        master.write_bytes(content)
        master.chmod(0o600)
    log.probe()
    assert "master key" in log.warning
    log.hand([record("a")]).wait(5)  # Today's key is there.
    master.unlink(missing_ok=True)
    kept.rename(master)
    log.probe()
    assert log.warning == ""


def test_a_master_key_that_was_rotated_is_no_other_one(log: Log, tmp_path: Path) -> None:
    log.probe()
    Vault(tmp_path / "audit/privacy").rotate_master()
    log.probe()
    assert log.warning == ""


def test_a_directory_that_was_moved_away_gets_keys_of_its_own(log: Log, tmp_path: Path) -> None:
    log.hand([record("a")]).wait(5)
    (tmp_path / "audit").rename(tmp_path / "moved")
    log.hand([record("b")]).wait(5)
    for name, expected in (("moved", ["a"]), ("audit", ["b"])):
        vault = vault_of(tmp_path / name)
        assert vault is not None
        assert [each.id for each in leaves(tmp_path / name, Keys(vault)) if each.kind == "decision"] == expected
    assert vault_of(tmp_path / "moved").id() != vault_of(tmp_path / "audit").id()  # type: ignore[union-attr]


class Full(Files):
    """No file can be made."""

    full = False

    def open(self, path: Path, flags: int) -> int:
        if self.full and flags & os.O_CREAT and path.name != "lock":
            raise OSError(28, os.strerror(28))
        return super().open(path, flags)


def test_a_disk_that_is_full_has_a_day_until_it_denies_and_never_writes_in_clear(tmp_path: Path, clock: Clock) -> None:
    files = Full()
    veil = Veil(tmp_path, clock=clock, files=files)
    veil.make()
    files.full = True
    clock.now += DAY
    veil.look()
    assert veil.problem == ""
    assert members(veil, now=clock.now)["detail"].keys() == {"kid", "c"}
    clock.now += DAY
    veil.look()
    assert "No space" in veil.problem
    with pytest.raises(EvidenceError, match="No space"):
        payloads(record(now=clock.now), veil)
    files.full = False
    veil.look()
    assert members(veil, now=clock.now)["detail"].keys() == {"kid", "c"}


def test_a_log_for_emergencies_goes_on_with_the_keys_that_it_has_read(tmp_path: Path, clock: Clock) -> None:
    first = Veil(tmp_path / "audit", clock=clock)
    (tmp_path / "audit").mkdir()
    (tmp_path / "second").mkdir()
    first.make()
    second = Veil(tmp_path / "second", tmp_path / "audit/privacy", clock=clock, steadfast=True)
    second.make()
    (tmp_path / "audit").rename(tmp_path / "gone")
    (tmp_path / "audit").write_text("not a directory")
    clock.now += DAY
    for each in (first, second):
        each.look()
    assert (bool(first.problem), second.problem) == (True, "")
    found = members(second, now=clock.now)
    assert Keys(Vault(tmp_path / "gone/privacy")).open(found)[1] == CLEAR
    clock.now += DAY
    second.look()
    assert second.problem
    (tmp_path / "audit").unlink()
    (tmp_path / "gone").rename(tmp_path / "audit")
    second.look()
    assert second.problem == ""
    vault = vault_of(tmp_path / "second")
    assert vault is not None
    assert Keys(vault).open(found)[1] == CLEAR


def test_a_log_that_goes_on_in_clear_still_opens_what_was_hidden(veil: Veil, tmp_path: Path) -> None:
    hidden = members(veil)
    in_clear(tmp_path)
    assert veil_of(tmp_path) is None
    plain = members(None)
    found = Keys(Vault(tmp_path / "privacy"))
    assert [found.open(each)[1] for each in (hidden, plain)] == [CLEAR, CLEAR]
    assert plain["sub"] == {"type": "user"}
    assert plain["res"] == {"type": "record"}
    assert plain["detail"]["patient"] == {"id": "bob-born-1960"}


def test_a_log_and_its_keys_can_move_together(veil: Veil, tmp_path: Path) -> None:
    found = members(veil)
    for name in ("privacy", "privacy.json"):
        (tmp_path / "to").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "to" / name)
    moved = vault_of(tmp_path / "to")
    assert moved is not None
    assert Keys(moved).open(found)[1] == CLEAR


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"v": 2}', b"\xff"])
def test_a_log_that_does_not_say_which_keys_it_has_is_not_guessed_at(tmp_path: Path, content: bytes) -> None:
    (tmp_path / privacy.MARK).write_bytes(content)
    with pytest.raises(EvidenceError, match="damaged"):
        Veil(tmp_path).make()


# --------------------------------------------------------------------------------------------------------- other kinds


def test_what_is_told_is_hidden_with_the_keys_of_the_log(tmp_path: Path) -> None:
    Veil(tmp_path).make()
    tell(tmp_path, ORIGIN, "disclosure", {"to": "a court"}, detail={"patient": {"id": "bob-born-1960"}})
    tell(tmp_path, ORIGIN, "audit.read", {"verb": "query"})
    assert not any(b"bob-born" in path.read_bytes() for path in tmp_path.rglob("*.wal"))
    found = [each for each in leaves(tmp_path, Keys(Vault(tmp_path / "privacy"))) if each.kind != "audit.status"]
    assert [(each.kind, dict(each.detail), each.opened) for each in found] == [
        ("disclosure", {"patient": {"id": "bob-born-1960"}}, CLEAR),
        ("audit.read", {}, CLEAR),
    ]


def test_what_is_told_is_not_told_without_the_keys(tmp_path: Path) -> None:
    Veil(tmp_path).make()
    (tmp_path / "privacy/master.key").unlink()
    with pytest.raises(EvidenceError, match="master"):
        tell(tmp_path, ORIGIN, "disclosure", {}, detail={"patient": {"id": "bob"}})


def test_what_is_told_to_a_log_in_clear_is_told_in_clear(tmp_path: Path) -> None:
    tell(tmp_path, ORIGIN, "disclosure", {}, detail={"patient": {"id": "bob"}})
    (found,) = [each for each in leaves(tmp_path) if each.kind == "disclosure"]
    assert found.detail == {"patient": {"id": "bob"}}


def test_a_log_with_erased_details_is_whole(tmp_path: Path) -> None:
    veil = Veil(tmp_path, patient_type="patient")
    log = Log(tmp_path, ORIGIN, veil=veil, segment_bytes=SEGMENT, reserve_bytes=RESERVE)
    log.hand([record("a"), record("b", now=NOON - 30 * DAY)]).wait(5)
    log.close()
    sealer = Sealer(tmp_path, ORIGIN)
    while sealer.step(NOON * 1_000).more:
        pass
    vkey = sealer.vkey
    sealer.close()
    vault = Vault(tmp_path / "privacy")
    for each in vault.days():
        vault.erase(each.kid, "now")
    found = [each for each in leaves(tmp_path, Keys(vault)) if each.kind == "decision"]
    assert [(each.opened, dict(each.detail)) for each in found] == [(ERASED, {})] * 2
    assert found[0].members["res"]["patient_p"] in Keys(vault).names("patient", "bob-born-1960")
    assert verify(tmp_path, [vkey]).findings == []


def test_a_record_that_is_no_json_object_is_no_record_with_keys_either(keys: Keys) -> None:
    with pytest.raises(EvidenceError):
        leaf(None, b"[]", keys)
