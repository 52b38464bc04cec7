"""Whose data a request is about: as the data say, never as a path or a caller says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.bundle.build import Built, build
from pdp.identity.scopes import Smart
from pdp.serve.compartment import patient_of

POLICY = """\
module ward
entity Person as "user" { patient: Patient }
entity Patient as "patient"
entity Record { patient: Patient  other: Text }
entity Note { patient: Patient? }
entity Group { patient: Set<Patient> }
entity Label { patient: Text }
entity Told { patient: Patient from caller }
action read on Patient, Record, Note, Group, Label, Told by Person
permit read on Patient as p "p" cites "c" when resource == resource
"""
DATA = """[
 {"type": "Record", "id": "r1", "attributes": {"patient": "pat-1", "other": "x"}},
 {"type": "Note", "id": "n1", "attributes": {"patient": "pat-1"}},
 {"type": "Note", "id": "n2", "attributes": {}},
 {"type": "Group", "id": "g1", "attributes": {"patient": ["pat-1"]}},
 {"type": "Label", "id": "l1", "attributes": {"patient": "pat-1"}},
 {"type": "Told", "id": "t1", "attributes": {}}
]"""


SMART = Smart(patient_type="patient")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory: Path = tmp_path_factory.mktemp("ward")
    (directory / "p.ward").write_text(POLICY)
    (directory / "data").mkdir()
    (directory / "data/all.json").write_text(DATA)
    return build(directory)


def of(built: Built, resource_type: str, resource_id: str, smart: Smart = SMART) -> str:
    return patient_of(smart, resource_type, resource_id, built.entities, built.program.schema)


def test_a_patient_is_the_patient(built: Built) -> None:
    assert of(built, "patient", "pat-7") == "pat-7"


def test_a_record_is_its_stored_patient_s(built: Built) -> None:
    assert of(built, "Record", "r1") == "pat-1"
    assert of(built, "Note", "n1") == "pat-1"


@pytest.mark.parametrize(
    ("resource_type", "resource_id"),
    [
        ("Record", "nowhere"),
        ("Note", "n2"),
        ("Group", "g1"),
        ("Label", "l1"),
        ("Told", "t1"),
        ("Patient", "pat-7"),
        ("Elsewhere", "x"),
    ],
    ids=["no-such-record", "absent", "a-set", "a-text", "from-caller", "ward-name", "no-such-type"],
)
def test_checklist_25_what_the_data_do_not_say_is_not_known(built: Built, resource_type: str, resource_id: str) -> None:
    assert of(built, resource_type, resource_id) == ""


def test_an_attribute_that_is_not_there_is_not_known(built: Built) -> None:
    assert of(built, "Record", "r1", Smart(patient_type="patient", patient_attribute="other")) == ""
    assert of(built, "Record", "r1", Smart(patient_type="patient", patient_attribute="subject")) == ""
    assert of(built, "Record", "r1", Smart(patient_type="user")) == ""
    assert of(built, "Record", "r1", Smart(patient_type="nobody")) == ""
