"""What the settings say of a policy set that does not say so itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.bundle.build import build
from pdp.config import load
from pdp.serve.agreement import disagreements

POLICY = """
vocabulary Purpose "urn:purpose" { treatment, payment }
entity Staff as "user" { role: Text from token, seat: Text from caller, unit: Text }
entity Patient
entity Record { patient: Patient, shelf: Text from caller }
action read as "can_read" on Record by Staff { sum: Int from caller }
context { purpose: Purpose? from caller, hour: Int from caller, tenant: Text? from token }
obligation notify(text: Text)
obligation later(text: Text)
permit read on Record as everybody "All" cites "none"
    require notify(text: "x")
"""

Compare = Callable[[str], list[str]]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    (tmp_path / "policy.ward").write_text(POLICY)
    policies = build(tmp_path).policies

    def compared(settings: str) -> list[str]:
        (tmp_path / "pdp.toml").write_text(settings)
        return disagreements(load({"PDP_POLICIES": str(tmp_path)}, tmp_path), policies)

    return compared


ISSUER = """
[issuer.house]
issuer = "https://id.example"
audience = "us"
keys = [{ kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid = "a", alg = "EdDSA" }]
algorithms = ["EdDSA"]
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('context = { purpos = "treatment" }', "`context` fixes `purpos`, which the schema does not declare; did you"),
        ('context = { tenant = "a" }', "`context` fixes `tenant`, which is declared `from token`"),
        ('context = { purpose = "treatmint" }', "`context.purpose`: expected a code of"),
        ('context = { hour = "7" }', "every rule that reads it undecidable"),
        ('may_assert = ["subject.saet"]', "`may_assert` names `subject.saet`"),
        ('may_assert = ["subject.role"]', "declared `from token`: nobody may assert it"),
        ('may_assert = ["resource.patient"]', "declared as data: nobody may assert it"),
        ('may_assert = ["action.sun"]', "did you mean `action.sum`?"),
        ('may_assert = ["context.purpos"]', "did you mean `context.purpose`?"),
        ('obligations = ["notifi"]', "which no rule issues; did you mean `notify`?"),
        ('obligations = ["later"]', "`later`, which no rule issues"),
        (f'{ISSUER}subject_type = "usr"', "`subject_type` names `usr`, which is no (wire) type"),
        (f'{ISSUER}subject_type = "Staff"', "did you mean `user`?"),
        (f'{ISSUER}subject_type_claim = "t"\nsubject_types = {{ a = "user", b = "bot" }}', "`bot`"),
        (f'{ISSUER}claims = {{ rolle = "r" }}', "`claims` reads `rolle`"),
        ('[trust_domain."a.example"]\nsubject_type = "service"\npaths = ["/a"]', "[trust_domain.'a.example']: "),
        ('[smart.needs]\n"reed on Record" = ["Observation.r"]', "an action that the schema does not declare"),
        ('[smart.needs]\n"can_read on Recrd" = ["Observation.r"]', "did you mean `Record`?"),
        ('[smart.needs]\n"can_read on Patient" = ["Observation.r"]', "no such action on this type"),
        ('[smart]\npatient_type = "Patien"', "`patient_type` names `Patien`"),
        ('[smart]\npatient_attribute = "patiente"', "`patient_attribute` names `patiente`"),
    ],
)
def test_a_name_that_the_policy_set_does_not_know_is_told(compare: Compare, settings: str, said: str) -> None:
    found = compare(settings if "[" in settings.split("=")[0] or ISSUER in settings else f"[pep.here]\n{settings}")
    assert len(found) == 1
    assert said in found[0]


def test_a_fixed_context_that_fits_no_type_is_not_quoted(compare: Compare) -> None:
    assert "zebra" not in compare('[pep.here]\ncontext = { purpose = "zebra" }')[0]


def test_what_both_sides_know_is_not_told(compare: Compare) -> None:
    profile = """
[pep.here]
may_assert = ["subject.seat", "resource.shelf", "action.sum", "context.*", "subject.*"]
context = { purpose = "treatment", hour = 7 }
obligations = ["notify", "step_up"]
"""
    smart = '[smart.needs]\n"can_read on Record" = ["Observation.r"]\n'
    assert compare(profile + smart + ISSUER + 'claims = { role = "r", tenant = "t" }') == []
    assert compare('trust_unverified_subject_header = "x-user"') == []


def test_defaults_say_nothing_about_a_set_without_patients(compare: Compare) -> None:
    assert compare("") == []


def test_the_shipped_sets_and_their_settings_agree() -> None:
    for directory in ("policies/hospital", "policies/authzen-certification"):
        settings = load({"PDP_POLICIES": directory}, Path.cwd())
        assert disagreements(settings, build(Path(directory)).policies) == []
