"""Records in the words of other systems: what they ask for is there, nothing leaves that was not asked for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from pdp.audit import export
from pdp.audit.evidence import EvidenceError
from pdp.audit.export.cef import encoded as cef
from pdp.audit.export.fact import fact
from pdp.audit.leaf import CLEAR, LOCKED, Leaf
from pdp.model.decision import Reason

PATIENT, RESOURCE = "p1-aaaaaaaaaaaaaaaaaaaaaaaaaa", "p1-bbbbbbbbbbbbbbbbbbbbbbbbbb"
REAL = ("pat-100", "rec-1001")
DETAIL = {"sub": {"id": "dr-osei"}, "res": {"id": "rec-1001"}, "patient": {"id": "pat-100"}}
TIME = 1_772_539_200_123_456


def leaf(detail: Mapping[str, Any] = DETAIL, effect: str = "allow", reason: str = "permitted", **more: Any) -> Leaf:
    members: dict[str, Any] = {
        "stream": "pdp.example/host-1/0/ab",
        "seq": 7,
        "prev": "00" * 32,
        "v": 1,
        "id": "d1f2-3",
        "kind": "decision",
        "ts": "2026-03-03T12:00:00.123456Z",
        "door": "ext_authz",
        "pep": "ehr",
        "dec": {
            "effect": effect,
            "reason": reason,
            "rule": ["care-team-reads"],
            "bundle": {"sha256": "ab" * 32, "version": "r1"},
            "obligations": [{"name": "notify_patient", "rule": "care-team-reads"}],
        },
        "sub": {"type": "user", "id": "dr-osei"},
        "identity": {"via": "token", "issuer": "hospital", "scopes": ["user/*.rs"]},
        "client": {"id": "ehr-web"},
        "act": {"action": "read", "verb": "R", "method": "GET", "route": "record"},
        "res": {"type": "Record", "id_p": RESOURCE, "patient_p": PATIENT},
        "pou": {"asserted": "TREAT"},
        "ctx": {"request_id": "req-1", "trace": "0af7651916cd43dd8448eb211c80319c"},
        "n": "0",
    } | more
    return Leaf(3, json.dumps(members).encode(), members, detail, CLEAR if detail else LOCKED)


def one(name: str, found: Leaf, identities: bool = False) -> dict[str, Any]:
    (line,) = export.encoder(name, identities)(found).split(b"\n")
    said: dict[str, Any] = json.loads(line)
    return said


@pytest.mark.parametrize("name", [*export.FORMATS, "raw"])
def test_no_real_id_leaves_unless_identities_are_asked_for(name: str) -> None:
    line = export.encoder(name)(leaf())
    assert line
    assert not [each for each in REAL if each.encode() in line]
    if name != "raw":
        told = export.encoder(name, identities=True)(leaf())
        assert [each for each in REAL if each.encode() in told] == list(REAL)


@pytest.mark.parametrize("name", [*export.FORMATS, "raw"])
def test_a_line_is_a_line(name: str) -> None:
    evil = leaf(sub={"type": "user", "id": "x\r\n\x1b[31m\u2028=cmd|' /C calc'!A0"}, pep="a|b\\c=d\n")
    (line,) = export.encoder(name, identities=True)(evil).splitlines()
    assert b"\x1b" not in line


def test_ocsf_has_what_api_activity_asks_for() -> None:
    event = one("ocsf", leaf())
    assert (event["category_uid"], event["class_uid"], event["activity_id"], event["type_uid"]) == (6, 6003, 2, 600302)
    assert event["time"] == TIME // 1_000
    assert (event["action_id"], event["disposition_id"], event["status_id"]) == (1, 1, 1)
    assert event["metadata"]["profiles"] == ["security_control", "trace"]
    assert {"version", "product", "uid", "sequence", "log_name"} <= event["metadata"].keys()
    assert event["actor"]["user"] == {"uid": "dr-osei", "type": "user"}
    assert event["api"]["operation"] == "read"
    assert event["src_endpoint"]["svc_name"] == "ehr-web"
    assert [each["uid"] for each in event["resources"]] == [RESOURCE, PATIENT]
    assert event["authorizations"][0]["policy"]["uid"] == "care-team-reads"
    assert event["http_request"] == {"http_method": "GET", "uid": "req-1"}


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("effect", ["allow", "deny", "", "ALLOW"])
def test_nothing_but_a_permit_is_ever_told_as_allowed(reason: str, effect: str) -> None:
    found = leaf(effect=effect, reason=str(reason))
    allowed = effect == "allow"
    event = one("ocsf", found)
    assert (event.get("action_id") == 1, event.get("disposition_id") == 1) == (allowed, allowed)
    assert (event.get("status_id") == 1) == allowed
    ecs = one("ecs", found)["event"]
    assert ("allowed" in ecs["type"], ecs["outcome"] == "success") == (allowed, allowed)
    assert (one("fhir", found)["outcome"] == "0") == allowed
    assert bool(export.encoder("fhir-access")(found)) == allowed


def test_refusals_that_nobody_counts_one_by_one_say_how_many_they_were() -> None:
    event = one("ocsf", leaf(effect="deny", reason="overloaded", count=40))
    assert (event["count"], event["end_time"] - event["start_time"]) == (40, 1_000)
    assert one("ecs", leaf(count=40))["chaperone"]["count"] == 40


def test_what_somebody_does_with_the_log_is_told_with_his_name() -> None:
    said = {"kind": "audit.read", "by": "officer", "dec": {}, "sub": {}, "res": {}, "act": {}}
    event = one("ocsf", leaf({}, **said))
    assert (event["class_uid"], event["type_uid"], event["actor"]) == (6003, 600302, {"user": {"name": "officer"}})
    assert one("ecs", leaf({}, **said))["event"]["category"] == ["configuration"]
    assert export.encoder("fhir")(leaf({}, **said)) == b""


@pytest.mark.parametrize(("kind", "number"), [("finding", 200401), ("case", 200401), ("case.disposition", 200403)])
def test_findings_are_detection_findings(kind: str, number: int) -> None:
    event = one("ocsf", leaf({}, kind=kind, rule="M3", dec={}, by="detect"))
    assert event["type_uid"] == number
    assert event["finding_info"]["title"] == "M3"


def test_ecs_says_what_it_has_names_for() -> None:
    document = one("ecs", leaf())
    assert document["@timestamp"] == "2026-03-03T12:00:00.123456Z"
    assert document["user"] == {"id": "dr-osei", "domain": "hospital"}
    assert document["rule"]["id"] == ["care-team-reads"]
    assert document["trace"]["id"] == "0af7651916cd43dd8448eb211c80319c"
    assert document["chaperone"]["pseudonyms"] == ["resource", "patient"]


@pytest.mark.parametrize("name", ["fhir", "fhir-access"])
@pytest.mark.parametrize("verb", ["C", "R", "U", "D", "Q"])
@pytest.mark.parametrize("identities", [True, False])
def test_what_we_call_an_audit_event_is_one_to_others(name: str, verb: str, identities: bool) -> None:
    event = one(name, leaf(act={"action": "x", "verb": verb}), identities)
    AuditEvent.model_validate(event)
    kinds = [each["type"]["code"] for each in event["entity"]]
    assert kinds[:2] == ["1", "2"]
    assert [each["requestor"] for each in event["agent"]].count(True) == 1


def test_a_profile_is_claimed_only_where_all_is_known_that_it_asks_for() -> None:
    assert one("fhir-access", leaf())["meta"]["profile"][0].endswith("IHE.BasicAudit.PatientRead")
    assert "meta" not in one("fhir-access", leaf(res={"type": "Record", "id_p": RESOURCE}))
    assert "meta" not in one("fhir-access", leaf(act={"action": "search", "verb": "Q"}))
    assert "meta" not in one("fhir", leaf())


def test_a_search_for_patients_is_one_event_for_each_of_them() -> None:
    searched = leaf(
        {"results": ["pat-1", "pat-2"]},
        search={"for": "resource", "found": 2},
        res={"type": "Patient", "id_p": "p1-c"},
        act={"action": "search", "verb": "Q"},
    )
    events = [json.loads(each) for each in export.encoder("fhir", identities=True)(searched).split(b"\n")]
    people = [entity["what"] for event in events for entity in event["entity"] if entity["type"]["code"] == "1"]
    assert [each["identifier"]["value"] for each in people] == ["pat-1", "pat-2"]
    assert len({event["id"] for event in events}) == 2
    assert len(export.encoder("fhir")(searched).split(b"\n")) == 1


@pytest.mark.parametrize("name", ["fhir", "fhir-access"])
def test_what_a_search_found_beyond_its_first_record_is_told_as_what_it_found_first(name: str) -> None:
    make = export.encoder(name, identities=True)
    first = leaf(
        {"sub": {"id": "dr-osei"}, "results": ["pat-1"]},
        search={"for": "resource", "found": 2},
        res={"type": "Patient"},
        act={"action": "search", "verb": "Q"},
    )
    said = {"stream": first.stream, "seq": 8, "id": first.id, "kind": "decision.results", "ts": "2026-03-03T12:00:00Z"}
    rest = Leaf(4, json.dumps(said).encode(), said, {"results": ["pat-2"]})
    events = [json.loads(make(each)) for each in (first, rest)]
    people = [entity["what"] for event in events for entity in event["entity"] if entity["type"]["code"] == "1"]
    assert [each["identifier"]["value"] for each in people] == ["pat-1", "pat-2"]
    assert [each["outcome"] for each in events] == ["0", "0"]
    alone = export.encoder(name, identities=True)(rest)
    assert not alone or "outcome" not in json.loads(alone)


def test_of_a_search_cef_says_each_result_and_fhir_how_many_refusals_a_record_stands_for() -> None:
    searched = leaf({"results": ["pat-1", "pat-2"]}, search={"for": "resource", "found": 2}, res={"type": "Patient"})
    assert b"cs6=pat-1 pat-2" in export.encoder("cef", identities=True)(searched)
    assert b"pat-1" not in export.encoder("cef")(searched)
    details = one("fhir", leaf(effect="deny", count=40))["entity"][-1]["detail"]
    assert {"type": "count", "valueString": "40"} in details


def test_cef_escapes_what_has_a_meaning_there() -> None:
    line = cef(fact(leaf(pep="a=b|c\\d\ne", client={"id": "x\ty"}))).decode()
    head, _, extension = line.partition("|care-team")[0].partition("deviceFacility=")
    assert head.startswith("CEF:0|Chaperone|PDP|")
    assert extension.startswith("a\\=b|c\\\\d\\ne ")
    odd = cef(fact(leaf(reason="a|b\\c"))).decode()
    assert odd.split("|")[4:6] == ["a\\", "b\\\\c"]
    assert "cs3Label" not in cef(fact(leaf(pou={}))).decode()


def test_a_cell_is_no_formula() -> None:
    found = leaf(sub={"type": "user", "id": "=HYPERLINK(1)"}, client={"id": "@x"}, pep="-1+1", door="\uff1d1+1")
    line = export.header("csv") + b"\n" + export.encoder("csv")(found)
    (row,) = csv.DictReader(io.StringIO(line.decode()))
    assert (row["subject"], row["client"], row["pep"]) == ("'=HYPERLINK(1)", "'@x", "'-1+1")
    assert row["door"] == "'\uff1d1+1"
    assert (row["patient"], row["index"], row["seq"]) == (PATIENT, "3", "7")
    assert None not in row


@pytest.mark.parametrize(
    "more",
    [
        {"dec": None},
        {"dec": []},
        {"identity": "x", "res": 3, "sub": None},
        {"dec": {"effect": 1, "rule": "x", "obligations": [1, "y", {}]}},
        {"ts": 5, "id": 7},
        {"count": "many", "ctx": [], "act": {"verb": []}},
        {"search": {"for": ["x"]}, "identity": {"scopes": {"a": 1}}},
    ],
)
@pytest.mark.parametrize("name", [*export.FORMATS])
def test_a_record_of_another_shape_is_no_fault(name: str, more: dict[str, Any]) -> None:
    found = leaf(**more)
    for identities in (False, True):
        line = export.encoder(name, identities)(found)
        assert b"\n" not in line


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(KeyError):
        export.encoder("xml")


def test_unchanged_leaves_no_detail_in_clear_unless_identities_are_asked_for() -> None:
    members = {**leaf().members, "detail": DETAIL}
    found = Leaf(3, json.dumps(members).encode(), members, DETAIL)
    with pytest.raises(export.InClear, match="says who"):
        export.encoder("raw")(found)
    assert export.encoder("raw", identities=True)(found) == found.payload


def test_a_record_of_several_lines_does_not_leave_as_one() -> None:
    found = leaf()
    broken = Leaf(3, json.dumps(found.members, indent=1).encode(), found.members, {})
    with pytest.raises(EvidenceError, match="more than one line"):
        export.encoder("raw")(broken)
