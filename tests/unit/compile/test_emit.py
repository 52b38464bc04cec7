"""Emitted code: what it looks like, where it stands, and that nothing a policy says becomes code."""

from __future__ import annotations

import ast
import linecache
import os
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile import builder, runtime
from pdp.compile.emit import Emitter
from pdp.compile.nodes import Constants, Positions
from pdp.compile.program import Program, compile_program
from pdp.compile.zones import Zone, tzif
from pdp.diagnostics.source import NOWHERE, Source, Span
from pdp.language import core
from pdp.language.core import Literal, Operation, PolicySet
from pdp.language.schema import one
from pdp.language.types import BOOL, TEXT
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, Missing, Unsettled
from tests.unit.compile.support import compiled, frame, policies, program, row
from tests.world import CODES, rule
from tests.world import SCHEMA as WORLD

GOLDEN = Path(__file__).parents[2] / "golden" / "emit"


def printed(found: PolicySet, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every function that a policy set is compiled to, as Python, and the tables of its index."""
    functions: list[ast.FunctionDef] = []
    add = builder._Builder._add

    def spy(self: Any, name: str, span: Span, function: ast.FunctionDef) -> int:
        functions.append(function)
        return add(self, name, span, function)

    monkeypatch.setattr(builder._Builder, "_add", spy)
    made = compile_program(found)
    lines = [ast.unparse(_Sorted().visit(each)) for each in functions]
    for number, group in enumerate(made._image.groups):
        used = [
            f"{each.action} on {each.resource_type} by {name}"
            for each in made._image.functions
            for name, n in each.groups.items()
            if n == number
        ]
        lines.append(f"# group {number}: {', '.join(used)}")
        for name, entries, _ in group.tables:
            lines.append(f"# {name}:")
            for key in sorted(entries, key=repr):
                ids = [made._image.rules[each].id for _, each in entries[key]]
                lines.append(f"#     {key!r}: {', '.join(ids)}")
        if group.always:
            lines.append(f"# always: {', '.join(made._image.rules[each].id for _, each in group.always)}")
    return "\n\n".join(lines[: len(functions)]) + "\n\n" + "\n".join(lines[len(functions) :]) + "\n"


class _Sorted(ast.NodeTransformer):
    """Prints the members of a constant set in order: what it looks like depends on no hash seed."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, frozenset):
            return node
        return ast.Name("{" + ", ".join(sorted(map(repr, node.value))) + "}", ast.Load())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ward")), ids=lambda path: path.stem)
def test_golden(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = printed(policies(path.read_text("utf-8")), monkeypatch)
    expected = path.with_suffix(".py.txt")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(written, "utf-8")
    assert written == expected.read_text("utf-8")


# Positions.


def codes(made: Program) -> dict[str, CodeType]:
    return {code.co_name: code for code in made._image.codes}


def test_positions_are_those_of_the_policy_in_bytes() -> None:
    text = 'permit read on Record as größe when resource.department == "größe" and resource.level >= 2'.replace(
        "as größe", "as a"
    )
    made = program(text)
    code = codes(made)["a"]
    assert code.co_filename == "2.ward"
    line = text.encode()
    pieces = {line[start:end].decode() for first, _, start, end in code.co_positions() if first == 1 and start != end}
    assert {'"größe"', "resource.level", "resource.level >= 2"} <= pieces


def test_a_traceback_underlines_the_policy() -> None:
    """A fault of ours (here: a row of the wrong shape) shows the rule that met it."""
    made = program("permit read on Record as late\n    when true\n     and resource.level + 1 > 2")
    given_frame = frame(made.schema, "Clinician::nina", "Record::r1", {"Record::r1": (frozenset(),)})
    with pytest.raises(IndexError) as caught:
        compiled(made, "read", "Record", given_frame)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "2.ward", line 3, in late' in shown
    lines = shown.splitlines()
    place = next(n for n, each in enumerate(lines) if "in late" in each)
    underlined = "".join(a for a, b in zip(lines[place + 1], lines[place + 2], strict=False) if b == "^")
    assert underlined == "resource.level"


def test_what_a_define_of_another_file_brings_stands_at_its_rule() -> None:
    shared = "\n" * 40 + "define high(n: Int) = n > 3 and n < 9"
    made = program("permit read on Record as a when high(resource.level)", shared)
    lines = {line for _, _, line in codes(made)["a"].co_lines() if line is not None}
    assert lines == {1}


# Nothing becomes code.

HOSTILE = (
    "__import__('os').system('id')",
    "'; raise SystemExit #",
    '"""',
    "{f}",
    "f.rows",
    "$has",
    "\\",
    "\u2028",
    "a\nb",
    "S",
    "__builtins__",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    department = Literal(text, TEXT, NOWHERE)
    attribute = core.Select(
        core.Variable("resource", WORLD_RECORD, NOWHERE), "department", (("Record", SLOT),), TEXT, NOWHERE
    )
    hostile = rule(id=text or "x", condition=Operation("equal", (attribute, department), BOOL, NOWHERE))
    made = compile_program(PolicySet(WORLD, (hostile,), (), (), ()), indexed=False)
    code = next(each for each in made._image.codes if each.co_argcount)
    assert all(isinstance(each, str | int | tuple | frozenset | None) for each in code.co_consts)
    assert set(code.co_names) == set()
    for own, expected in ((text, [text]), ("other", [])):
        function = made.function("read", "Record")
        assert function is not None
        found = Frame("Clinician::n", "Record::r", (), _record(own), (), (), {}, 0)  # type: ignore[arg-type]
        assert [each.id for each in function.evaluate(found)[0]] == expected


WORLD_RECORD = one("Record")
SLOT = WORLD.entities["Record"].attributes["department"].slot


def _record(department: str) -> tuple[object, ...]:
    found: list[object] = [UNKNOWN] * 40
    found[SLOT] = department
    return tuple(found)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20))
def test_any_text_is_a_constant_of_its_function(text: str) -> None:
    emitter = Emitter(CODES, Positions(), Constants(), {"subject": "Clinician", "resource": "Record"}, {})
    body = Operation("equal", (Literal(text, TEXT, NOWHERE), Literal("x", TEXT, NOWHERE)), BOOL, NOWHERE)
    module = ast.Module([emitter.function("rule", NOWHERE, body)], [])
    (code,) = (each for each in compile(module, "x", "exec").co_consts if isinstance(each, CodeType))
    assert code.co_names == ()
    assert text in code.co_consts


def test_emitted_functions_see_no_builtins_and_only_what_the_runtime_offers() -> None:
    made = program((GOLDEN / "clinic.ward").read_text("utf-8"))
    offered = {f"${name}" for name in runtime.OFFERED}
    for code in made._image.codes:
        inner = [code, *(each for each in code.co_consts if isinstance(each, CodeType))]
        for each in inner:
            assert not each.co_freevars or each is not code
            for name in each.co_names:
                own = name.startswith(("$regex", "$zone", "$slots", "$table", "$always"))
                assert own or name in offered | {"$ABSENT", "$closures", "$ranks", "$above"} or name in ATTRIBUTES


ATTRIBUTES = {"rows", "row", "now", "action_row", "isdisjoint", "setdefault"}


# The plain path gives up where something has no value.


@pytest.mark.parametrize("missing", [ABSENT, UNKNOWN], ids=repr)
@pytest.mark.parametrize("name", sorted(set(runtime.OFFERED) - {"has", "guarded", "any", "all", "row_slot", "inside"}))
def test_semantics_01_no_function_takes_what_is_no_value(name: str, missing: Missing) -> None:
    """Each operand in turn; the others are sound, and empty where that could hide the fault."""
    for place, sound in enumerate(OPERANDS[name]):
        operands = list(OPERANDS[name])
        assert OPERANDS[name][place] is sound
        if name.startswith("code_") and place == 0:
            continue  # The closures: ours, never a policy's.
        if name in ("date_in", "hour", "minute", "weekday", "clock_between") and place > 0:
            continue  # Clocks and zones are constants.
        if name == "is_one_of" and place == 1:
            continue  # Names are constants.
        operands[place] = missing
        if name == "frozenset":
            operands = [(missing,)]
        with pytest.raises(Unsettled):
            runtime.OFFERED[name](*operands)


UTC = Zone("UTC", tzif("UTC"))
EMPTY: frozenset[str] = frozenset()
OPERANDS: dict[str, tuple[Any, ...]] = {
    "is_one_of": ("Record::r1", frozenset({"Record"})),
    "listed": ("x", ()),
    "overlaps": (EMPTY, ()),
    "subset": (EMPTY, EMPTY),
    "code_overlaps": ({}, EMPTY, EMPTY),
    "code_subset": ({}, EMPTY, EMPTY),
    "in_network": ((4, 1, 32), (4, 0, 0)),
    "frozenset": ((),),
    "as_list": (1, 2),
    "len": ("",),
    "union": (EMPTY, EMPTY),
    "intersection": (EMPTY, EMPTY),
    "difference": (EMPTY, EMPTY),
    "between": (1, 2, 3),
    "starts_with": ("", ""),
    "ends_with": ("", ""),
    "identifier": ("Record::r1",),
    "type_name": ("Record::r1",),
    "text": (1,),
    "within": (0, 1, 2),
    "date_in": (0, UTC),
    "hour": (0, UTC),
    "minute": (0, UTC),
    "weekday": (0, UTC),
    "clock_between": (0, 0, 1, UTC),
    **dict.fromkeys(("negate", "year", "month", "day"), (1,)),
    **dict.fromkeys(("add", "subtract", "multiply", "div", "mod", "lesser", "greater"), (0, 1)),
    **dict.fromkeys(("add_days", "add_months", "add_years", "days_between", "years_between"), (0, 0)),
}


@pytest.mark.parametrize("missing", [ABSENT, UNKNOWN], ids=repr)
def test_semantics_01_a_bare_attribute_that_has_no_value_is_neither_true_nor_false(missing: Missing) -> None:
    made = program("permit read on Record as a when resource.open", "forbid read on Record as b when not resource.open")
    rows = {"Record::r1": row(made.schema, "Record::r1", open=missing)}
    given_frame = frame(made.schema, "Clinician::nina", "Record::r1", rows)
    satisfied, erred = compiled(made, "read", "Record", given_frame)
    assert satisfied == []
    assert [(each, span) for each, _, span, _ in erred] == [("a", "resource.open"), ("b", "resource.open")]


def test_a_source_is_registered_for_tracebacks() -> None:
    source = Source("elsewhere.ward", "permit read on Record as a")
    builder.build(policies("permit read on Record as a"), [source])
    assert linecache.getline("elsewhere.ward", 1).startswith("permit read")
