"""A program: one digest, the same after every journey, the same from every thread."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile.program import Program, compile_program
from pdp.language.core import PolicySet
from pdp.model.decision import Grant, Obligation, Refusal
from pdp.model.frame import Frame
from pdp.model.value import UNKNOWN
from tests.generators import PAIRS, frames, policy_sets
from tests.unit.compile.support import CLINIC, compiled, frame, meant, policies, program, row

ROOT = Path(__file__).parents[3]
CLINICAL = (ROOT / "tests" / "golden" / "emit" / "clinic.ward").read_text("utf-8")


def asked(made: Program, subject: str = "Clinician::nina", **record: object) -> Frame:
    values = {"patient": "p1", "department": "icu", "level": 3, "tags": [], "readers": [], "owner": None, **record}
    rows = {
        "Clinician::nina": row(made.schema, "Clinician::nina", role="nurse", department="icu", clearance=9),
        "Patient::p1": row(made.schema, "Patient::p1", care_team=["nina"], vip=False),
        "Record::r1": row(made.schema, "Record::r1", **{k: v for k, v in values.items() if v is not None}),
    }
    return frame(made.schema, subject, "Record::r1", rows)


# The digest.


def digest_elsewhere(seed: str) -> str:
    script = (
        "from tests.unit.compile.support import program; from tests.unit.compile.test_program import CLINICAL;"
        "print(program(CLINICAL).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_semantics_27_the_digest_is_the_same_in_every_process() -> None:
    assert {digest_elsewhere("1"), digest_elsewhere("2")} == {program(CLINICAL).digest}


def test_semantics_27_what_only_people_read_changes_the_source_digest_alone() -> None:
    plain = program("permit read on Record as a when resource.level == 1")
    spaced = program('# A comment.\n\npermit read on Record as a "Why" cites "45 CFR" when  resource.level==1')
    assert plain.digest == spaced.digest
    assert plain.source_digest != spaced.source_digest


def test_semantics_17_the_order_of_rules_and_files_changes_no_digest() -> None:
    one, other = "permit read on Record as a when true", "forbid read on Record as b when resource.level == 1"
    assert program(one, other).digest == program(other, one).digest == program(f"{other}\n{one}").digest


@pytest.mark.parametrize(
    "changed",
    [
        CLINICAL.replace('== "icu"', '== "ICU"'),
        CLINICAL.replace("as pinned\n", "as pinned-too\n"),
        CLINICAL.replace("mask /ssn", "mask /ssn2"),
        CLINICAL.replace("release only /id, /name", "release only /id"),
        CLINICAL.replace("require notify(", "advise notify("),
        CLINICAL.replace("resource.level * 2", "resource.level * 3"),
        CLINICAL.replace("6 of", "7 of") + "\npermit write on Record as another when false and resource.open",
        CLINICAL.replace("8 hours", "9 hours"),
        CLINICAL.replace("America/Chicago", "America/New_York"),
        CLINICAL + '\nroute GET "/r/{id}" does read on Record id',
    ],
)
def test_semantics_27_whatever_can_change_a_decision_changes_the_digest(changed: str) -> None:
    assert program(changed).digest != program(CLINICAL).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nurse in clinician billing", "nurse billing"),
        ("Role from token", "Role from certificate"),
        ("author: Clinician?", "author: Clinician"),
        ("by Clinician, Robot", "by Clinician"),
        ('as "user"', 'as "person"'),
        ("site: Text? from caller", "site: Text?  from token"),
    ],
)
def test_semantics_27_so_does_the_schema_with_its_provenance(old: str, new: str) -> None:
    assert old in CLINIC
    rules = "permit read on Record as a when subject is Clinician"
    first = program(CLINIC, rules, clinic=False)
    assert program(CLINIC.replace(old, new), rules, clinic=False).digest != first.digest


def test_the_order_of_an_ordered_vocabulary_is_in_the_digest() -> None:
    text = 'vocabulary L "urn:l" ordered { %s }\nentity U { l: L }\naction a on U\n'
    text += "permit a on U as x when resource.l > L.b"
    assert program(text % "a b c", clinic=False).digest != program(text % "c b a", clinic=False).digest


# The journey.


@given(policy_sets(), st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair))))
def test_a_program_that_was_bytes_answers_alike(found: PolicySet, question: tuple[tuple[str, str], Frame]) -> None:
    pair, given_frame = question
    made = compile_program(found)
    again = Program.from_bytes(made.to_bytes())
    assert (again.digest, again.source_digest, again.rule_count) == (made.digest, made.source_digest, made.rule_count)
    assert again.policies == made.policies
    assert compiled(again, *pair, given_frame) == compiled(made, *pair, given_frame)
    first, second = made.function(*pair), again.function(*pair)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert first.horizon(given_frame) == second.horizon(given_frame)
        assert first.all_known(given_frame) == second.all_known(given_frame)
        assert (first.reads.paths, first.reads.context, first.reads.subject_attributes) == (
            second.reads.paths,
            second.reads.context,
            second.reads.subject_attributes,
        )


def test_routes_tests_and_spans_survive_the_journey() -> None:
    made = program(CLINICAL, 'route GET "/r/{id}" does read on Record id')
    again = Program.from_bytes(made.to_bytes())
    assert again.routes == made.routes
    assert len(again.routes) == 1
    for ours, theirs in zip(made.policies.rules, again.policies.rules, strict=True):
        assert (ours.span, ours.header, ours.condition.span) == (theirs.span, theirs.header, theirs.condition.span)


def test_a_worker_loads_without_parser_checker_or_rules() -> None:
    data = program(CLINICAL).to_bytes()
    script = (
        "import sys; from pdp.compile.program import Program;"
        "made = Program.from_bytes(sys.stdin.buffer.read());"
        "assert made.function('read', 'Record') is not None;"
        "assert not made._policies.rules._known;"
        "print([each for each in ('lark', 'pdp.language.check', 'pdp.language.parse') if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=data,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("data", [b"", b"chaperone program 0 other\n", b"\x80\x05N."])
def test_bytes_of_another_version_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a program"):
        Program.from_bytes(data)


# Effects.


def test_what_a_rule_contributes_is_made_before_where_it_can_be() -> None:
    made = program(
        "permit read on Record as plain",
        "permit read on Record as limited release only /id require log_access()",
        'forbid read on Record as no "why" because "public" cure consent',
    )
    function = made.function("read", "Record")
    assert function is not None
    given_frame = asked(made)
    rules = {each.id: each for each in function.evaluate(given_frame)[0]}
    assert rules["plain"].grant == Grant("plain")
    assert rules["limited"].grant == Grant("limited", frozenset({"/id"}), (Obligation("log_access", (), "limited"),))
    assert rules["limited"].contribution(given_frame) is rules["limited"].grant
    assert rules["no"].refusal == Refusal("no", False, "public", "", ("consent",))
    assert rules["no"].refusal_erred == Refusal("no", True, "public", "", ("consent",))
    assert rules["plain"].rule.id == "plain"


def test_semantics_18_an_erring_release_condition_restricts() -> None:
    made = program("permit read on Record as a release only /id when resource.level > 2")
    function = made.function("read", "Record")
    assert function is not None
    for level, fields in ((3, frozenset({"/id"})), (1, None), (UNKNOWN, frozenset({"/id"}))):
        given_frame = asked(made, level=level)
        (rule,), _ = function.evaluate(given_frame)
        grant = rule.contribution(given_frame)
        assert grant.fields == fields
        assert [each.code for each in grant.errors] == (["unknown-value"] if level is UNKNOWN else [])


# Many at once.


def test_threads_on_one_program_see_what_one_thread_sees() -> None:
    made = program(CLINICAL)
    questions = [
        asked(made, level=level, department=department, tags=tags)
        for level in (1, 3, UNKNOWN)
        for department in ("icu", "er", UNKNOWN)
        for tags in ([], ["sealed"])
    ]
    expected = [meant(made, "read", "Record", each) for each in questions]
    wrong: list[object] = []
    interval = sys.getswitchinterval()

    def ask(start: int) -> None:
        for turn in range(150):
            number = (start + turn) % len(questions)
            found = compiled(made, "read", "Record", questions[number])
            if found != expected[number]:
                wrong.append((number, found))

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(start,)) for start in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


# Depth.


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 190 + "resource.level" + " + 1)" * 190 + " == 200",
        "(resource.open and (resource.level == 1 or " * 95 + "resource.open" + "))" * 95,
        "(resource.open == " * 190 + "resource.open" + ")" * 190,
        "if resource.open then resource.open else (" * 95 + "resource.open" + ")" * 95,
    ],
)
def test_the_deepest_condition_that_checks_compiles_and_travels(condition: str) -> None:
    made = Program.from_bytes(program(f"permit read on Record as deep when {condition}").to_bytes())
    for given_frame in (asked(made, level=10, open=True), asked(made, level=1, open=False), asked(made, level=UNKNOWN)):
        assert compiled(made, "read", "Record", given_frame) == meant(made, "read", "Record", given_frame)


def test_an_undeclared_pair_has_no_function_and_a_declared_one_without_rules_has() -> None:
    made = program("permit read on Record as a")
    assert made.function("write", "Note") is None
    assert made.function("read", "Nothing") is None
    function = made.function("read", "Note")
    assert function is not None
    assert function.evaluate(asked(made)) == ([], [])


def test_emergency_rules_are_no_part_of_the_answer() -> None:
    made = program("emergency read on Record as glass", "permit read on Record as a when resource.level == 1")
    assert compiled(made, "read", "Record", asked(made, level=1)) == (["a"], [])


def test_policies_of_a_compiled_program_are_those_given() -> None:
    found = policies(CLINICAL)
    assert compile_program(found).policies is found
