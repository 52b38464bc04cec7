"""A program made of Python functions, to judge `decide` by itself: rules over a frame, with a read set told by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pdp.diagnostics.source import NOWHERE
from pdp.language.schema import ActionDeclaration, Attribute, EntityDeclaration, Schema, one
from pdp.language.semantics import EvaluationError
from pdp.language.types import BOOL, INT, TEXT, CodeType, SetType, Type
from pdp.language.vocabulary import Vocabulary, codes
from pdp.model.decision import FOREVER, Grant, Refusal
from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.request import Request
from pdp.model.value import ABSENT, UNKNOWN, Row, entity

NOTHING_TOLD = Refusal("")
ERROR = EvaluationError("unknown-value", "not known", NOWHERE)


@dataclass(eq=False)
class Rule:
    """A compiled rule, as far as `decide` sees one."""

    id: str
    effect: str
    condition: Callable[[Frame], bool] = lambda frame: True
    grant: Grant | None = None
    contributes: Callable[[Frame], Grant] | None = None
    fields: Callable[[Frame], frozenset[str]] = lambda frame: frozenset()
    refusal: Refusal | None = NOTHING_TOLD
    refusal_erred: Refusal | None = NOTHING_TOLD

    def contribution(self, frame: Frame) -> Grant:
        assert self.contributes is not None
        return self.contributes(frame)

    def masked(self, frame: Frame) -> frozenset[str]:
        return self.fields(frame)


def permit(name: str, condition: Callable[[Frame], bool] = lambda frame: True, **grant: Any) -> Rule:
    return Rule(name, "permit", condition, grant=Grant(name, **grant))


def computed(name: str, contributes: Callable[[Frame], Grant]) -> Rule:
    return Rule(name, "permit", contributes=contributes)


def forbid(name: str, condition: Callable[[Frame], bool] = lambda frame: True, **told: Any) -> Rule:
    return Rule(
        name, "forbid", condition, refusal=Refusal(name, **told), refusal_erred=Refusal(name, erred=True, **told)
    )


def mask(name: str, *fields: str, condition: Callable[[Frame], bool] = lambda frame: True) -> Rule:
    return Rule(name, "mask", condition, fields=lambda frame: frozenset(fields))


def void(name: str, condition: Callable[[Frame], bool] = lambda frame: True) -> Rule:
    return Rule(name, "mask", condition, fields=errs)


def errs(frame: object) -> Any:
    raise ERROR


@dataclass
class Reads:
    subject: bool = False
    resource: bool = False
    context: tuple[Attribute, ...] = ()
    action: tuple[Attribute, ...] = ()
    subject_attributes: dict[str, tuple[Attribute, ...]] = field(default_factory=dict)
    resource_attributes: tuple[Attribute, ...] = ()
    paths: frozenset[str] = frozenset()


@dataclass
class Function:
    rules: list[Rule]
    reads: Reads = field(default_factory=Reads)
    action: str = "read"
    resource_type: str = "Record"
    subjects: frozenset[str] = frozenset({"User"})
    until: Callable[[Frame], int] | None = None
    evaluations: int = 0
    during: Callable[[], None] = lambda: None  # What happens while it evaluates.

    @property
    def timed(self) -> bool:
        return self.until is not None

    def evaluate(self, frame: Frame) -> tuple[list[Any], list[Any]]:
        self.evaluations += 1
        self.during()
        satisfied, erred = [], []
        for rule in self.rules:
            try:
                if rule.condition(frame):
                    satisfied.append(rule)
            except EvaluationError as error:
                erred.append((rule, error))
        return satisfied, erred

    def horizon(self, frame: Frame) -> int:
        return FOREVER if self.until is None else self.until(frame)

    def all_known(self, frame: Frame) -> bool:
        states = [
            *(frame.context_row[each.slot] for each in self.reads.context),
            *(frame.action_row[each.slot] for each in self.reads.action),
            *(frame.resource_row[each.slot] for each in self.reads.resource_attributes),
            *(frame.subject_row[each.slot] for each in self.reads.subject_attributes.get("User", ())),
        ]
        if self.reads.subject:
            states.append(frame.subject_row[VIP.slot])
        if self.reads.resource:
            states.append(frame.resource_row[SECRET.slot])
        return all(state is not UNKNOWN for state in states)


class Program:
    digest = "program"
    source_digest = "source"

    def __init__(self, *functions: Function, schema: Schema | None = None) -> None:
        self.schema = schema or SCHEMA
        self.functions = {(each.action, each.resource_type): each for each in functions}

    def function(self, action: str, resource_type: str) -> Any:
        return self.functions.get((action, resource_type))


PURPOSES = Vocabulary(
    "Purpose", "urn:p", {"TREAT": "TREAT", "ETREAT": "ETREAT", "BTG": "BTG"}, {}, False, frozenset({"BTG"}), NOWHERE
)
PURPOSE: Type = CodeType(frozenset({"Purpose"}))


def _slots(first: int, *attributes: Attribute) -> dict[str, Attribute]:
    return {each.name: replace(each, slot=slot) for slot, each in enumerate(attributes, first)}


OF_USER = _slots(
    1,
    Attribute("vip", BOOL),
    Attribute("role", TEXT, place="token"),
    Attribute("nick", TEXT, optional=True, place="token"),
    Attribute("level", INT, optional=True, place="caller"),
    Attribute("purposes", SetType(PURPOSE), place="token"),
    Attribute("peer", one("User"), optional=True),
    Attribute("urgent", BOOL, place="caller"),
    Attribute("goal", PURPOSE, optional=True, place="caller"),
)
OF_RECORD = _slots(
    1,
    Attribute("secret", BOOL),
    Attribute("owner", one("User"), optional=True),
    Attribute("folder", TEXT, optional=True, place="route"),
    Attribute("note", TEXT, optional=True, place="caller"),
)
OF_CONTEXT = _slots(
    0,
    Attribute("purpose", PURPOSE, optional=True, place="caller", provisioned_by="purposes"),
    Attribute("mood", TEXT, optional=True, place="caller"),
    Attribute("count", INT, optional=True, place="caller"),
    Attribute("aim", PURPOSE, optional=True, place="caller"),
    Attribute("role", TEXT, optional=True, place="caller"),
    Attribute("nick", TEXT, optional=True, place="caller"),
    Attribute("granted", PURPOSE, optional=True, place="token"),
)
OF_READ = _slots(0, Attribute("soft", BOOL, place="caller"))
VIP, ROLE, NICK, LEVEL = (OF_USER[name] for name in ("vip", "role", "nick", "level"))
SECRET, OWNER, FOLDER, NOTE = (OF_RECORD[name] for name in ("secret", "owner", "folder", "note"))

SCHEMA = Schema(
    entities={
        "User": EntityDeclaration("User", "user", frozenset({"User"}), OF_USER),
        "Record": EntityDeclaration("Record", "record", frozenset({"User"}), OF_RECORD),
        "Robot": EntityDeclaration("Robot", "robot", frozenset(), {}),
    },
    kinds={},
    actions={
        ("read", "Record"): ActionDeclaration("read", "read", "Record", frozenset({"User"}), OF_READ),
        ("read", "User"): ActionDeclaration("read", "read", "User", frozenset({"User"}), OF_READ),
        ("drop", "User"): ActionDeclaration("drop", "drop", "User", frozenset({"User"}), {}),
    },
    groups={},
    context=OF_CONTEXT,
    fields={},
    obligations={},
    codes=codes({"Purpose": PURPOSES}),
    by_wire={"user": "User", "record": "Record", "robot": "Robot"},
    action_by_wire={"read": "read", "drop": "drop"},
)


def row(attributes: dict[str, Attribute], parents: Iterable[str] = (), **values: object) -> Row:
    """A stored row: what is not given is absent if it is the store's and optional, else unknown."""
    slots: list[object] = [frozenset(parents)]
    for each in attributes.values():
        slots.append(values.get(each.name, ABSENT if each.optional and each.stored else UNKNOWN))
    return tuple(slots)


ANN, BOB, R1, R2 = entity("User", "ann"), entity("User", "bob"), entity("Record", "r1"), entity("Record", "r2")
STORE = Entities(
    {
        ANN: row(OF_USER, vip=True, peer=BOB),
        BOB: row(OF_USER, [ANN], vip=False),
        R1: row(OF_RECORD, secret=False, owner=ANN),
        R2: row(OF_RECORD, secret=True),
    },
    "data-1",
)


def asks(subject: str = "ann", resource: str = "r1", resource_type: str = "record", **more: Any) -> Request:
    return Request("user", subject, more.pop("action", "read"), resource_type, resource, **more)


def of_subject(attribute: Attribute) -> Callable[[Frame], Any]:
    return lambda frame: known(frame.subject_row[attribute.slot])


def of_resource(attribute: Attribute) -> Callable[[Frame], Any]:
    return lambda frame: known(frame.resource_row[attribute.slot])


def of_context(attribute: Attribute) -> Callable[[Frame], Any]:
    return lambda frame: known(frame.context_row[attribute.slot])


def known(state: Any) -> Any:
    if state is UNKNOWN:
        raise ERROR
    return state
