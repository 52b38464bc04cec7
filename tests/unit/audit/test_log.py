"""Each decision is one whole line before its answer leaves; what cannot be written raises."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pdp.audit.log import EvidenceError, Log, Record, Who
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason, RuleError
from pdp.model.request import Request

NOW = 1_700_000_000_123_456
REQUEST = Request(
    "user", "alice", "read", "record", "record-1", {"ssn": "078-05-1120"}, context={"note": "seen in clinic"}
)
ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",), program_digest="p", data_revision="d")


def record(decision: Decision = ALLOW, request: Request | None = REQUEST, time: int = NOW, **more: object) -> Record:
    return Record(time, "id-1", "authzen", "portal", decision, request, **more)  # type: ignore[arg-type]


def lines(directory: Path) -> list[dict[str, object]]:
    (file,) = directory.glob("decisions-*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_record_holds_what_the_list_allows_and_nothing_else(tmp_path: Path) -> None:
    error = RuleError("rule", "type-error", "expected Int, got 078-05-1120", "policy.ward:1:2")
    decision = Decision(
        Effect.ALLOW,
        Reason.PERMITTED,
        ("rule",),
        errors=(error,),
        obligations=(Obligation("notify", (("to", "ann@example.org"),), "rule"),),
        fields=Fields(frozenset({"/a"}), frozenset({"/b"})),
        program_digest="p",
        data_revision="d",
    )
    Log(tmp_path / "audit", "w").append(record(decision, discarded=("subject.role",)))
    assert lines(tmp_path / "audit") == [
        {
            "time": "2023-11-14T22:13:20.123456Z",
            "decision_id": "id-1",
            "door": "authzen",
            "pep": "portal",
            "effect": "allow",
            "reason": "permitted",
            "rules": ["rule"],
            "program_digest": "p",
            "data_revision": "d",
            "subject": {"type": "user", "id": "alice"},
            "action": "read",
            "resource": {"type": "record", "id": "record-1"},
            "errors": [{"rule": "rule", "code": "type-error", "where": "policy.ward:1:2"}],
            "discarded": ["subject.role"],
            "obligations": [{"name": "notify", "rule": "rule"}],
            "fields": {"released": ["/a"], "masked": ["/b"]},
        }
    ]


def test_checklist_34_a_refusal_before_evaluation_is_recorded_too(tmp_path: Path) -> None:
    deny = Decision(Effect.DENY, Reason.NO_ROUTE)
    Log(tmp_path, "w").append(record(deny, None, detail="dot-segment", program_digest="p", data_revision="d"))
    (found,) = lines(tmp_path)
    assert found["detail"] == "dot-segment"
    assert found["program_digest"] == "p"
    assert "subject" not in found


def test_who_was_asked_about_and_who_was_established_are_both_told_where_they_differ(tmp_path: Path) -> None:
    log = Log(tmp_path, "w")
    asked = Request("user", "dora", "read", "record", "r")
    for who in (Who("user", "dora", "token"), Who("user", "nina", "token")):
        log.append(record(request=asked, who=who))
    log.append(record(request=None, who=Who("user", "nina", "token")))
    same, other, none = lines(tmp_path)
    assert (same["subject"]["id"], same["identity"]) == ("dora", {"via": "token"})
    assert (other["subject"]["id"], other["identity"]["subject"]) == ("dora", {"type": "user", "id": "nina"})
    assert (none["subject"]["id"], none["identity"]) == ("nina", {"via": "token"})


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = Log(directory, "w")
    log.append(record())
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_checklist_34_an_identifier_cannot_forge_a_line(tmp_path: Path) -> None:
    evil = Request("user", 'x"}\n{"effect":"allow', "read", "record", "a\u2028b\x1b[31m")
    Log(tmp_path, "w").append(record(request=evil))
    (found,) = lines(tmp_path)
    assert found["subject"] == {"type": "user", "id": 'x"}\n{"effect":"allow'}
    (file,) = tmp_path.iterdir()
    assert file.read_bytes().count(b"\n") == 1
    assert b"\x1b" not in file.read_bytes()


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, "w")
    log.append(record())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    monkeypatch.setattr(log, "_gone", lambda now: False)
    with pytest.raises(EvidenceError):
        log.append(record())


def test_a_record_that_was_cut_short_is_an_error_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = Log(tmp_path, "w"), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(EvidenceError):
            log.append(record())
    log.append(record())
    (file,) = tmp_path.iterdir()
    _, whole = file.read_text().splitlines()
    assert json.loads(whole)["decision_id"] == "id-1"


def test_a_deleted_file_is_made_anew_and_no_record_goes_nowhere(tmp_path: Path) -> None:
    log = Log(tmp_path, "w")
    log.append(record())
    next(tmp_path.iterdir()).unlink()
    log.append(record())
    assert len(lines(tmp_path)) == 1


def test_a_file_moved_away_is_made_anew_within_a_second(tmp_path: Path) -> None:
    log = Log(tmp_path, "w")
    log.append(record())
    next(tmp_path.iterdir()).rename(tmp_path / "rotated")
    log.append(record(time=NOW + 1_000_000))
    assert len(lines(tmp_path)) == 1
    assert len((tmp_path / "rotated").read_text().splitlines()) == 1


def test_a_directory_that_cannot_be_made_is_an_error_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file is in the way")
    log = Log(tmp_path / "audit", "w")
    with pytest.raises(EvidenceError):
        log.probe(NOW)
    with pytest.raises(EvidenceError):
        log.append(record())
    (tmp_path / "audit").unlink()
    log.append(record())
    assert len(lines(tmp_path / "audit")) == 1


def test_a_directory_that_became_a_file_is_an_error_and_no_fault(tmp_path: Path) -> None:
    log = Log(tmp_path / "audit", "w")
    log.append(record())
    (tmp_path / "audit").rename(tmp_path / "moved")
    (tmp_path / "audit").write_text("")
    with pytest.raises(EvidenceError):
        log.probe(NOW + 2_000_000)
    with pytest.raises(EvidenceError):
        log.append(record(time=NOW + 2_000_000))


def test_several_threads_write_whole_lines(tmp_path: Path) -> None:
    log = Log(tmp_path / "audit", "w")
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda _: [log.append(record()) or log.probe(NOW) for _ in range(50)], range(8)):
            pass
    assert len(lines(tmp_path / "audit")) == 400


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("")
    (tmp_path / "decisions-w.jsonl").symlink_to(tmp_path / "target")
    with pytest.raises(EvidenceError):
        Log(tmp_path, "w").append(record())
    assert (tmp_path / "target").read_text() == ""


def test_what_cannot_be_encoded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        Log(tmp_path, "w").append(record(request=Request("user", "\ud800", "read", "record", "r")))


def test_a_batch_is_written_with_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(1) or write(file, data))
    log = Log(tmp_path, "w")
    log.append_all([record(), record(), record()])
    log.append_all([])
    assert len(calls) == 1
    assert len(lines(tmp_path)) == 3


def test_a_pipe_in_the_place_of_the_file_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "decisions-w.jsonl")
    with pytest.raises(EvidenceError):
        Log(tmp_path, "w").append(record())
    reader = os.open(tmp_path / "decisions-w.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(EvidenceError):
            Log(tmp_path, "w").append(record())
    finally:
        os.close(reader)


def test_names_of_a_megabyte_do_not_fill_the_disk(tmp_path: Path) -> None:
    long = "n" * 1_000_000
    Log(tmp_path, "w").append(record(request=Request(long, long, long, long, long)))
    assert sum(len(json.dumps(line)) for line in lines(tmp_path)) < 8_000
