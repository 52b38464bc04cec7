"""`pdp audit report`: who saw a patient, what was disclosed, what went on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pdp.audit.veil.privacy import Veil
from pdp.cli.main import main
from tests.unit.audit.seen import at, sealed, seen, written

MARCH = ("--in", "2026-03")


class Told:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.out)
        return found

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.out)))


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str, verb: str = "report") -> Told:
        capsys.readouterr()
        try:
            code = main(["audit", verb, *arguments, "--directory", str(tmp_path / "audit")])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    return run


@pytest.fixture
def there(tmp_path: Path) -> Path:
    directory = tmp_path / "audit"
    directory.mkdir()
    written(
        directory,
        seen("2026-02-28T23:59:59.999999Z", "early"),
        seen("2026-03-01T00:00:00Z", "nina"),
        seen("2026-03-02T10:00:00Z", "nina", purpose="BTG", rules=("break-glass",)),
        seen("2026-03-02T11:00:00Z", "omar", effect="deny"),
        seen("2026-03-02T12:00:00Z", "omar", "r9", patient="p2"),
        seen("2026-03-02T13:00:00Z", "piet", "", patient="", action="search", kind="Patient", found=("p7", "p1")),
        seen("2026-03-31T23:59:59.999999Z", "quin"),
        seen("2026-04-01T00:00:00Z", "late"),
    )
    sealed(directory)
    return directory


def people(said: Told) -> dict[str, dict[str, object]]:
    return {each["who"]["id"]: each for each in said.json["people"]}


def test_who_saw_a_patient_is_one_line_for_each_person(there: Path, report) -> None:
    found = people(report("access", "--patient", "p1", *MARCH, "--output", "json"))
    assert set(found) == {"nina", "omar", "piet", "quin"}
    nina = found["nina"]
    assert (nina["times"], nina["allowed"], nina["break_glass"]) == (2, 2, 1)
    assert nina["purposes"] == {"TREAT": 1, "BTG": 1}
    assert [each["rule"] for each in nina["rules"]] == ["break-glass", "clinical-view"]
    assert (found["omar"]["denied"], found["omar"]["denied_because"]) == (1, {"no_rule": 1})


def test_each_line_names_the_decisions_and_their_places(there: Path, report) -> None:
    (one, two) = people(report("access", "--patient", "p1", *MARCH, "--output", "json"))["nina"]["records"]
    assert isinstance(one["index"], int)
    assert two["index"] == one["index"] + 1
    said = report("access", "--patient", "p1", *MARCH)
    assert f"{one['decision']} (index {one['index']})" in said.out


def test_a_search_that_named_the_patient_is_an_access_of_the_patient(there: Path, report) -> None:
    assert people(report("access", "--patient", "p7", *MARCH, "--output", "json")).keys() == {"piet"}


def test_the_period_begins_and_ends_to_the_microsecond(there: Path, report) -> None:
    found = report(
        "access", "--patient", "p1", "--from", "2026-03-31", "--to", "2026-04-01T00:00:00Z", "--output", "json"
    )
    assert people(found).keys() == {"quin", "late"}
    berlin = report("access", "--patient", "p1", "--in", "2026-03-01", "--zone", "Europe/Berlin", "--output", "json")
    assert people(berlin).keys() == {"early", "nina"}


def test_nothing_found_says_how_far_the_log_speaks(there: Path, report) -> None:
    said = report("access", "--patient", "p1", "--in", "2025-12")
    assert "nothing recorded: the log has records from 2026-02-28" in said.out
    assert "it says nothing about what was before 2026-02-28 23:59:59" in said.out
    assert report("access", "--patient", "p1", "--in", "2025-12", "--output", "json").json["coverage"]["not_covered"]


def test_a_log_without_records_says_so(tmp_path: Path, report) -> None:
    (tmp_path / "audit" / "log").mkdir(parents=True)
    assert "the log holds no record at all" in report("access", "--patient", "p1", *MARCH).out


def test_what_others_wrote_is_escaped_for_the_page_and_the_spreadsheet(tmp_path: Path, report) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    evil = '=cmd|"/c calc"!A1<script>alert(1)</script>\u202e\x1b[31m'
    written(directory, seen("2026-03-02T10:00:00Z", evil, who_kind="", purpose=evil, action=evil))
    sealed(directory)
    page = report("access", "--patient", "p1", *MARCH, "--output", "html").out
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page + report("access", "--patient", "p1", *MARCH).out
    assert "\x1b" not in report("access", "--patient", "p1", *MARCH).out
    sheet = report("access", "--patient", "p1", *MARCH, "--output", "csv").rows
    assert sheet[1][0].startswith("'=cmd")
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in sheet for cell in row)


def test_a_patient_is_followed_under_the_pseudonyms_of_two_epochs(tmp_path: Path, report) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    veil = Veil(directory)
    veil.make()
    written(directory, seen("2026-03-02T10:00:00Z", "nina"), veil=veil)
    assert main(["audit", "keys", "rotate-pseudonyms", "--directory", str(directory)]) == 0
    veil.look()
    written(directory, seen("2026-03-03T10:00:00Z", "nina"), veil=veil)
    sealed(directory)
    found = people(report("access", "--patient", "p1", *MARCH, "--output", "json"))
    assert found["nina"]["times"] == 2


def test_the_report_itself_is_on_record_and_names_nobody_in_clear(there: Path, report) -> None:
    from pdp.audit.leaf import leaves

    report("access", "--patient", "p1", *MARCH)
    (read,) = (each for each in leaves(there) if each.kind == "audit.read")
    assert read.members["verb"] == "report access"
    assert "p1" not in json.dumps({name: said for name, said in read.members.items() if name != "detail"})


# ---------------------------------------------------------------------------------------------------------- disclosures


@pytest.fixture
def disclosing(tmp_path: Path) -> Path:
    directory = tmp_path / "audit"
    directory.mkdir()
    t = {"action": "disclose", "who_kind": "agency"}
    written(
        directory,
        seen("2019-06-01T10:00:00Z", "registry", purpose="PUBHLTH", **t),
        seen("2026-03-01T10:00:00Z", "registry", purpose="PUBHLTH", identifier="pub-1", **t),
        seen("2026-03-02T10:00:00Z", "insurer", purpose="HPAYMT", **t),
        seen("2026-03-03T10:00:00Z", "registry", purpose="PUBHLTH", effect="deny", **t),
        seen("2026-03-04T10:00:00Z", "police-7", purpose="", identifier="pol-1", **t),
        seen("2026-03-05T10:00:00Z", "registry", "r2", "p2", purpose="PUBHLTH", **t),
        seen("2026-03-06T10:00:00Z", "nina"),
    )
    sealed(directory)
    return directory


def add(report, *more: str) -> Told:
    return report("add", "--patient", "p1", *more, verb="disclosure")


def test_the_accounting_has_what_left_and_counts_what_is_excluded(disclosing: Path, report) -> None:
    said = report("disclosures", "--patient", "p1", "--output", "json").json
    assert [(each["basis"], each["recipient"]["ids"]) for each in said["disclosures"]] == [
        ("public-health", ["registry"]),
        ("other", ["police-7"]),
    ]
    assert said["excluded"] == {"payment": 1}
    assert said["incomplete"] == 2


def test_a_person_completes_what_a_decision_does_not_say(disclosing: Path, report) -> None:
    told = ["--decision", "pub-1", "--recipient", "State Registry", "--what", "one notification", "--purpose", "cancer"]
    assert add(report, *told, "--basis", "public-health", "--date", "2026-03-01T10:00:00Z").code == 0
    said = report("disclosures", "--patient", "p1", "--output", "json").json
    one = next(each for each in said["disclosures"] if each["recipient"]["name"])
    assert (one["lacking"], one["times"], one["by_hand"]) == ([], 1, True)
    assert {each["decision"] for each in one["records"]} >= {"pub-1"}
    assert said["incomplete"] == 1


def test_several_to_one_recipient_for_one_purpose_are_one_line(disclosing: Path, report) -> None:
    for day in ("01", "09", "05"):
        add(report, "--recipient", "Court", "--what", "chart", "--basis", "judicial", "--date", f"2026-02-{day}")
    said = report("disclosures", "--patient", "p1", "--output", "json").json
    (court,) = (each for each in said["disclosures"] if each["basis"] == "judicial")
    assert (court["date"], court["times"], court["last"]) == ("2026-02-01T00:00:00Z", 3, "2026-02-09T00:00:00Z")
    each = report("disclosures", "--patient", "p1", "--each", "--output", "json").json
    assert sum(one["basis"] == "judicial" for one in each["disclosures"]) == 3


def test_a_wrong_record_is_replaced_and_that_is_told(disclosing: Path, report) -> None:
    from pdp.audit.leaf import leaves

    add(report, "--recipient", "Wrong", "--what", "chart", "--basis", "judicial")
    (wrong,) = (each.id for each in leaves(disclosing) if each.kind == "disclosure")
    add(report, "--recipient", "Right", "--what", "chart", "--basis", "judicial", "--replaces", wrong)
    said = report("disclosures", "--patient", "p1", "--output", "json").json
    assert "Wrong" not in json.dumps(said)
    assert said["corrected"] == 1


@pytest.mark.parametrize("how", ["human", "json", "csv", "html"])
def test_a_suspended_disclosure_is_in_no_report_and_the_operator_is_told(disclosing: Path, report, how: str) -> None:
    add(
        report,
        "--recipient",
        "Féderal  Bureau",
        "--what",
        "whole chart",
        "--basis",
        "law-enforcement",
        "--date",
        "2026-03-07",
    )
    before = report("disclosures", "--patient", "p1", "--output", how)
    assert "Bureau" in before.out
    suspend = [
        "suspend",
        "--agency",
        "Federal bureau",
        "--patient",
        "p1",
        "--known-as",
        "police-7",
        "--reason",
        "stated",
    ]
    assert report(*suspend, "--oral").code == 0
    for name in ("disclosures", "access"):
        said = report(name, "--patient", "p1", "--output", how)
        assert said.code == 0
        assert not [word for word in ("Bureau", "police-7", "pol-1", "withheld", "suspen") if word in said.out]
        assert "withheld" in said.err


def test_a_report_does_not_count_what_it_withholds(disclosing: Path, report) -> None:
    def counts(name: str) -> object:
        return report(name, "--patient", "p1", "--output", "json").json["coverage"]

    add(report, "--recipient", "Bureau", "--what", "chart", "--basis", "law-enforcement", "--date", "2026-03-07")
    before = [counts(name) for name in ("access", "disclosures")]
    report("suspend", "--agency", "Bureau", "--patient", "p1", "--oral", "--reason", "stated")
    after = [counts(name) for name in ("access", "disclosures")]
    assert after[0]["records"] == before[0]["records"] - 1  # What rests on nothing known, and names nobody.
    for each in (*before, *after):
        each.pop("records", None)
        del each["log_last"]
    assert before == after


def test_a_purpose_of_the_house_is_withheld_in_both_reports(disclosing: Path, report) -> None:
    """HPAYMT is payment to everybody; in this house it is what the police ask with."""
    report("suspend", "--agency", "Police", "--oral", "--reason", "stated")
    mine = ("--purpose", "HPAYMT=law-enforcement")
    everything = ("--patient", "p1", "--from", "2026-03-01", "--to", "2026-03-31")
    assert "insurer" in report("access", *everything).out
    for name in ("access", "disclosures"):
        told = report(name, *everything, *mine)
        assert told.code == 0
        assert "insurer" not in told.out
        assert "withheld" in told.err
    assert report("access", *everything, "--purpose", "HPAYMT=nothing").code == 2


def test_an_oral_suspension_ends_after_thirty_days(disclosing: Path, report, monkeypatch: pytest.MonkeyPatch) -> None:
    from pdp.cli import reporting

    report("suspend", "--agency", "Police", "--known-as", "police-7", "--oral", "--reason", "stated")
    now = reporting.clock()
    assert "police-7" not in report("disclosures", "--patient", "p1").out
    for module in ("report_disclosures", "report_access"):
        monkeypatch.setattr(f"pdp.cli.{module}.clock", lambda: now + 31 * 86_400_000_000)
    assert "police-7" in report("disclosures", "--patient", "p1").out


def test_a_suspension_can_be_lifted(disclosing: Path, report) -> None:
    from pdp.audit.leaf import leaves

    report("suspend", "--agency", "Police", "--known-as", "police-7", "--oral", "--reason", "stated")
    (identifier,) = (each.id for each in leaves(disclosing) if each.kind == "disclosure.suspend")
    assert "Police" in report("suspend", "--list").out
    assert report("suspend", "--lift", identifier, "--reason", "withdrawn").code == 0
    assert "police-7" in report("disclosures", "--patient", "p1").out
    assert report("suspend", "--lift", identifier, "--reason", "again").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["suspend", "--agency", "FBI"],
        ["suspend", "--agency", "FBI", "--reason", "x"],
        ["suspend", "--agency", "FBI", "--reason", "x", "--until", "2001"],
        ["disclosures", "--patient", "p1", "--purpose", "A=nonsense"],
        ["access", "--patient", "p1", "--in", "march"],
        ["activity", "--hours", "nine to five"],
    ],
)
def test_what_is_wrong_is_a_sentence(disclosing: Path, report, arguments: list[str]) -> None:
    said = report(*arguments)
    assert said.code == 2
    assert said.err.startswith("pdp: ")


# ------------------------------------------------------------------------------------------------------------- activity


def test_the_review_of_activity_counts_and_says_who_read_the_log(there: Path, report) -> None:
    report("access", "--patient", "p1", *MARCH)
    said = report("activity", "--from", "2026-02-01", "--output", "json").json
    assert (said["decisions"], said["allowed"]) == (8, 7)
    assert said["by_day"]["2026-03-02"] == 4
    assert said["denied_subjects"] == {"user:omar": 1}
    assert {each["what"] for each in said["reads"]} == {"report access", "report activity"}


def test_a_service_that_is_silent_and_one_that_nobody_knows_are_named(there: Path, tmp_path: Path, report) -> None:
    inventory = tmp_path / "services.yaml"
    inventory.write_text("services:\n- {name: records, pep: application}\n- {name: pharmacy}\n")
    said = report("activity", *MARCH, "--inventory", str(inventory), "--output", "json")
    assert said.code == 1
    assert said.json["silent_services"] == [{"service": "pharmacy", "silent": "not once in this period"}]
    assert said.json["not_in_inventory"] == []
    inventory.write_text("services:\n- {name: records, client: portal}\n")
    assert report("activity", *MARCH, "--inventory", str(inventory), "--output", "json").json["not_in_inventory"] == [
        "pep application"
    ]


# ------------------------------------------------------------------------------------------------------------- incident


def test_an_incident_says_whom_it_touched_and_leaves_open_what_the_log_cannot_know(there: Path, report) -> None:
    said = report("incident", "--subject", "omar", *MARCH, "--output", "json").json
    assert [(each["id"], each["allowed"], each["denied"]) for each in said["patients"]] == [("p1", 0, 1), ("p2", 1, 0)]
    assert (said["patients_affected"], said["patients_of_whom_something_was_allowed"]) == (2, 1)
    assert len(said["records"]) == 2
    factors = {each["factor"][:4]: each["says"] for each in said["worksheet"]}
    assert factors["(iv)"] == ["(to be filled in)"]
    assert "user:omar (1 allowed, 1 denied)" in factors["(ii)"]


def test_an_incident_counts_everybody_whom_a_search_named(there: Path, report) -> None:
    said = report("incident", "--subject", "piet", *MARCH, "--output", "json").json
    assert [each["id"] for each in said["patients"]] == ["p1", "p7"]


def test_an_incident_is_of_something(there: Path, report) -> None:
    assert report("incident").code == 2


def test_a_worker_that_was_silent_is_a_gap_also_over_a_new_start_and_to_the_end() -> None:
    from pdp.audit.leaf import Leaf
    from pdp.audit.reports.activity import activity

    def beat(boot: str, when: str) -> Leaf:
        return Leaf(0, b"", {"kind": "heartbeat", "stream": f"h/0/{boot}", "seq": 1, "ts": when}, {})

    beats = [
        beat("a", "2026-03-01T10:00:00Z"),
        beat("a", "2026-03-01T10:01:00Z"),
        beat("b", "2026-03-01T10:09:00Z"),
    ]
    found = activity(beats, at("2026-03-01T11:00:00Z"), str)
    assert [(each.start, each.end) for each in found.gaps] == [
        (at("2026-03-01T10:01:00Z"), at("2026-03-01T10:09:00Z")),
        (at("2026-03-01T10:09:00Z"), at("2026-03-01T11:00:00Z")),
    ]


def test_a_bundle_that_is_gone_is_counted_and_is_no_answer(tmp_path: Path, report) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    written(directory, *(seen(f"2026-03-02T10:{number // 60:02}:{number % 60:02}Z") for number in range(600)))
    sealed(directory)
    (directory / "log/tile/entries/001").unlink()
    for name in ("access", "disclosures", "incident"):
        said = report(name, "--patient", "p1", *MARCH, "--output", "json")
        assert said.code == 4
        assert said.json["coverage"]["records_that_may_be_meant_or_not"]
    assert "CANNOT BE TOLD" in report("access", "--patient", "p1", *MARCH).out


def test_where_details_were_erased_the_accesses_are_still_there_and_it_is_said(tmp_path: Path, report) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    veil = Veil(directory)
    veil.make()
    written(directory, seen("2026-03-02T10:00:00Z"), seen("2026-03-03T10:00:00Z"), veil=veil)
    search = seen("2026-03-02T11:00:00Z", "piet", "", "", action="search", kind="Patient", found=("p1",))
    written(directory, search, veil=veil)
    sealed(directory)
    assert main(["audit", "keys", "erase", "--day", "2026-03-02", "--yes", "--directory", str(directory)]) == 0
    said = report("access", "--patient", "p1", *MARCH, "--output", "json")
    assert said.code == 4  # Whom the search named, nobody can tell any more.
    assert said.json["coverage"]["records_that_may_be_meant_or_not"] == {"erased": 1}
    (nina,) = people(said).values()
    assert (nina["times"], nina["not_opened"]) == (2, 1)


def test_a_suspension_in_a_part_that_cannot_be_read_is_not_overlooked(disclosing: Path, report) -> None:
    entries = max((disclosing / "log/tile/entries/000.p").iterdir(), key=lambda each: int(each.name))
    entries.unlink()
    assert report("access", "--patient", "p1", "--in", "2020").code == 4
