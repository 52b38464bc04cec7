"""A suspension is about a patient however the patient is called, by whoever suspends and by whoever asks."""

from __future__ import annotations

import pytest

from pdp.audit.asking.asked import NO, YES
from pdp.audit.asking.deeds import Sought, deed
from pdp.audit.asking.period import Period
from pdp.audit.leaf import CLEAR, LOCKED, Leaf
from pdp.audit.reports.disclosures import accounting
from pdp.audit.reports.suspensions import KIND, silence
from pdp.cli.reporting import named
from tests.unit.audit.stories import Locks, decided, name

NOW = 1_780_000_000_000_000


def suspension(patient: str, known: list[str] | None = None) -> Leaf:
    members = {"kind": KIND, "id": "s", "statement": "written", "from": "2026-01-01T00:00:00Z"}
    detail = {"agency": "Police", "known": known or [], "patient": {"type": "Patient", "id": patient}}
    return Leaf(1, b"", members | {"until": "2030-01-01T00:00:00Z"}, detail, CLEAR)


P1 = name(1, "Patient", "pat-1")


@pytest.mark.parametrize("suspended", ["pat-1", P1])
@pytest.mark.parametrize("asked", ["pat-1", P1, name(2, "Patient", "pat-1"), "Patient/pat-1"])
def test_it_runs_by_whatever_name(suspended: str, asked: str) -> None:
    assert silence([suspension(suspended)], Sought("Patient", asked, Locks(1, 2)), NOW)
    assert not silence([suspension("pat-2")], Sought("Patient", "pat-1", Locks(1, 2)), NOW)
    assert not silence([suspension(name(1, "Patient", "pat-2"))], Sought("Patient", "pat-1", Locks(1, 2)), NOW)


def test_where_nobody_can_tell_whose_it_is_it_runs() -> None:
    assert silence([suspension("pat-1")], Sought("Patient", P1, Locks(2)), NOW)
    assert silence([suspension(P1)], Sought("Patient", "pat-1", Locks(2)), NOW)


def test_an_agency_whose_name_could_not_be_opened_is_known_by_its_pseudonym() -> None:
    said = decided("police-7", epoch=1, kid="k", hidden=True, purpose="TREAT")
    other = decided("nina", epoch=1, kid="k", hidden=True)
    hidden = silence([suspension("pat-1", ["police-7"])], Sought("Patient", "pat-1", Locks(1)), NOW)
    assert hidden.deed(deed(Leaf(2, b"", said, {}, LOCKED)), {})
    assert not hidden.deed(deed(Leaf(2, b"", other, {}, LOCKED)), {})


def test_nor_is_it_in_the_accounting() -> None:
    said = decided("police-7", epoch=1, kid="k", hidden=True, action="transmit", purpose="HRESCH")
    patient, told = Sought("Patient", "pat-1", Locks(1)), [suspension("pat-1", ["police-7"])]
    found = accounting([Leaf(2, b"", said, {}, LOCKED)], told, patient, Period(0, NOW), NOW)
    assert (found.withheld, found.rows) == (1, [])
    assert len(accounting([Leaf(2, b"", said, {}, LOCKED)], [], patient, Period(0, NOW), NOW).rows) == 1


def test_what_people_type_is_a_name_too() -> None:
    patient = Sought("Patient", "pat-1", Locks(1))
    assert patient.called("Patient", P1) is YES
    assert patient.called("Patient", name(1, "Patient", "pat-2")) is NO
    assert named("Patient", "Patient/pat-1") == named("Patient", "Patient:pat-1") == ("Patient", "pat-1")


def test_a_colon_in_an_id_is_said_how_it_was_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert named("Patient", "MRN:12") == ("MRN", "12")
    assert "Patient:MRN:12" in capsys.readouterr().err
    assert named("Patient", "Patient:MRN:12") == ("Patient", "MRN:12")
    assert capsys.readouterr().err == ""
