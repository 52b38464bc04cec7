"""`[trust_domain.NAME]` and `[smart]`: what they say, and every mistake that would let somebody in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdp.config import ConfigError, Settings, load
from pdp.identity.scopes import Need
from tests.in_time import in_time
from tests.service.certificates import Authority


def settings(directory: Path, text: str) -> Settings:
    (directory / "pdp.toml").write_text(text)
    return load({}, directory)


def problem(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        settings(directory, text)
    return "\n".join(error.value.problems)


PLAIN = 'subject_type = "service"\npaths = ["/ns/*/sa/*", "/lab"]\n'


def test_no_trust_domain_counts_by_default(tmp_path: Path) -> None:
    assert load({}, tmp_path).trust_domains == {}


def test_a_trust_domain_says_who_its_members_are(tmp_path: Path) -> None:
    found = settings(tmp_path, f'[trust_domain."hospital.example"]\n{PLAIN}').trust_domains["hospital.example"]
    assert (found.name, found.subject_type, found.subject_id) == ("hospital.example", "service", "spiffe-id")
    assert found.paths == (("ns", "*", "sa", "*"), ("lab",))
    assert found.roots == ()


def test_a_name_whose_quotes_were_forgotten_is_told_so_and_nothing_else(tmp_path: Path) -> None:
    said = problem(tmp_path, f"[trust_domain.ward.hospital.example]\n{PLAIN}")
    assert said.endswith(
        "[trust_domain.ward.hospital.example]: a name with dots is written in quotes:"
        ' [trust_domain."ward.hospital.example"]'
    )
    both = problem(tmp_path, f"[trust_domain.hospital.example]\n{PLAIN}[trust_domain.lab]\n")
    assert '[trust_domain."hospital.example"]' in both
    assert "[trust_domain.lab]: `subject_type` must say" in both


def test_the_authorities_of_a_trust_domain_are_read_at_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    table = f'[trust_domain.lab]\n{PLAIN}ca_file = "ours.pem"\nintermediates_file = "ours.pem"\n'
    found = settings(tmp_path, table).trust_domains["lab"]
    assert len(found.roots) == len(found.intermediates) == 1
    leaf = authority.leaf(name="leaf")
    assert "authorities alone" in problem(tmp_path, table.replace("ours.pem", leaf.certificate_file.name))
    assert "cannot be read" in problem(tmp_path, table.replace("ours.pem", "nowhere.pem"))
    os.mkfifo(tmp_path / "pipe.pem")
    assert "not a regular file" in in_time(lambda: problem(tmp_path, table.replace("ours.pem", "pipe.pem")))
    assert "needs `ca_file`" in problem(tmp_path, table.replace("ca_file", "#ca_file", 1))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (f'[trust_domain."Hospital.example"]\n{PLAIN}', "a trust domain is written with"),
        (f'[trust_domain."spiffe://hospital.example"]\n{PLAIN}', "a trust domain is written with"),
        (f'[trust_domain."*"]\n{PLAIN}', "a trust domain is written with"),
        (f"[trust_domain]\n{PLAIN}", "must hold tables"),
        (f"[trust_domain.hospital.example]\n{PLAIN}", '[trust_domain."hospital.example"]'),
        ('[trust_domain.a]\npaths = ["/x"]', "`subject_type` must say"),
        ('[trust_domain.a]\nsubject_type = "service"', "`paths` must list who counts"),
        ('[trust_domain.a]\nsubject_type = "service"\npaths = []', "`paths` must list who counts"),
        *(
            (f'[trust_domain.a]\nsubject_type = "s"\npaths = ["{each}"]', "`paths` must list paths")
            for each in ("ns/*", "/", "//a", "/a/", "/a/../b", "/a*", "/**", "/a b", "/ns/%61", "*", "spiffe://a/b")
        ),
        (f'[trust_domain.a]\n{PLAIN}subject_id = "cn"', "`subject_id` must be one of"),
        (f"[trust_domain.a]\n{PLAIN}ca = 1", "unknown key `ca`"),
    ],
)
def test_a_mistake_is_said(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in problem(tmp_path, table)


def test_checklist_19_no_two_workloads_become_one_subject(tmp_path: Path) -> None:
    last = 'subject_type = "service"\nsubject_id = "last-segment"\npaths = ["{}"]\n'
    assert settings(tmp_path, f"[trust_domain.a]\n{last.format('/prod/sa/*')}").trust_domains
    assert "needs one pattern" in problem(tmp_path, f"[trust_domain.a]\n{last.format('/ns/*/sa/*')}")
    two_patterns = last.format('/a/*", "/b/*')
    assert "needs one pattern" in problem(tmp_path, f"[trust_domain.a]\n{two_patterns}")
    path = 'subject_type = "service"\nsubject_id = "path"\npaths = ["/x"]\n'
    two = f"[trust_domain.a]\n{path}[trust_domain.b]\n{path}"
    assert "could name the same subject as [trust_domain.a]" in problem(tmp_path, two)
    assert settings(tmp_path, two.replace("service", "partner", 1)).trust_domains
    assert settings(tmp_path, two.replace('subject_id = "path"\n', "")).trust_domains


# -------------------------------------------------------------------------------------------------------------- [smart]


def test_needs_are_written_by_action_and_type(tmp_path: Path) -> None:
    found = settings(tmp_path, '[smart]\nneeds = { "list on Chart" = ["Observation.s", "Record.s"] }\n').smart
    assert found.needs == {("list", "Chart"): (Need("Observation", "s"), Need("Record", "s"))}
    assert (found.patient_type, found.patient_attribute) == ("Patient", "patient")


def test_the_patient_may_have_another_name(tmp_path: Path) -> None:
    found = settings(tmp_path, '[smart]\npatient_type = "person"\npatient_attribute = "of"\n').smart
    assert (found.patient_type, found.patient_attribute) == ("person", "of")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('needs = { "list" = ["Observation.s"] }', "not written as `ACTION on TYPE`"),
        ('needs = { "list on " = ["Observation.s"] }', "not written as `ACTION on TYPE`"),
        ('needs = { "list on my Chart" = ["Observation.s"] }', "not written as `ACTION on TYPE`"),
        ('needs = { "list on Chart" = [] }', "must list what is needed"),
        ('needs = { "list on Chart" = "Observation.s" }', "must list what is needed"),
        ('needs = { "list on Chart" = ["*.s"] }', "must list what is needed"),
        ('needs = { "list on Chart" = ["Observation.rs"] }', "must list what is needed"),
        ('needs = { "list on Chart" = ["Observation.x"] }', "must list what is needed"),
        ("needs = 3", "`needs` must be a table"),
        ("need = {}", "unknown key `need`"),
    ],
)
def test_checklist_25_a_need_that_asks_for_nothing_or_is_odd_is_a_mistake(
    tmp_path: Path, line: str, expected: str
) -> None:
    assert expected in problem(tmp_path, f"[smart]\n{line}\n")


def test_smart_is_a_table(tmp_path: Path) -> None:
    assert "must be a table" in problem(tmp_path, "smart = 3\n")
