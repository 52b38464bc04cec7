"""JSON tables of tests: one world and many cases, written in the forms of data and of AuthZEN requests.

    {"entities": [..data..], "now": "2026-03-01T10:00:00Z", "context": {..},
     "cases": [{"name": "..", "subject": "user:nina", "action": "read", "resource": "Record:r1", "context": {..},
                "expect": {"decision": "allow", "rules": ["clinical-view"]}}]}

Unknown members are refused, so that a misspelt expectation cannot pass for none. Types and actions that are not
declared may stand in a question: that they are denied is worth a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pdp.analyze.case import Case, Expected
from pdp.analyze.world import Given, Question
from pdp.language import wire
from pdp.language.schema import Schema
from pdp.model.decision import Effect, Reason
from pdp.model.request import RequestError, strict_json

DEFAULT_NOW: Final = "2026-01-01T00:00:00Z"
MAX_DEPTH: Final = 40

_TABLE: Final = frozenset({"$schema", "description", "entities", "now", "context", "cases"})
_CASE: Final = frozenset({"name", "entities", "now", "subject", "action", "resource", "context", "searching", "expect"})
_ENTITY: Final = frozenset({"type", "id", "parents", "attributes"})
_EXPECT: Final = frozenset({"decision", "rules", "reason", "released", "masked", "obligations", "errors"})


class BadTable(Exception):
    """A table that cannot be read. The message names the member."""


def cases(text: bytes | str, name: str, schema: Schema) -> tuple[Case, ...]:
    """Every case of a table. Raises BadTable, with the place of the first member that is wrong."""
    try:
        document = strict_json(text, MAX_DEPTH)
    except RequestError as error:
        raise BadTable(str(error)) from error
    table = _object(document, "the table", _TABLE)
    givens = _givens(table.get("entities", []), "entities", schema)
    listed = table.get("cases")
    if not isinstance(listed, list):
        raise BadTable("cases: must be an array" if "cases" in table else "cases: is missing")
    return tuple(_case(each, f"cases[{index}]", name, table, givens, schema) for index, each in enumerate(listed))


def _case(
    value: Any, place: str, table_name: str, table: Mapping[str, Any], givens: Sequence[Given], schema: Schema
) -> Case:
    case = _object(value, place, _CASE)
    title = _text(case.get("name"), f"{place}.name")
    where = f"{table_name}:{place}"
    context = {**_plain(table, "context", ""), **_plain(case, "context", f"{place}.")}
    subject, subject_properties = _asked(case.get("subject"), f"{place}.subject")
    resource, resource_properties = _asked(case.get("resource"), f"{place}.resource")
    action, action_properties = _action(case.get("action"), f"{place}.action")
    question = Question(
        subject,
        action,
        resource,
        context,
        action_properties,
        subject_properties,
        resource_properties,
        frozenset(_texts(case.get("searching", []), f"{place}.searching")),
    )
    own = _givens(case.get("entities", []), f"{place}.entities", schema)
    now = _instant(case.get("now", table.get("now", DEFAULT_NOW)), f"{place}.now")
    return Case(
        title, table_name, where, (*givens, *own), question, now, _expected(case.get("expect"), f"{place}.expect")
    )


def _givens(value: Any, place: str, schema: Schema) -> tuple[Given, ...]:
    if not isinstance(value, list):
        raise BadTable(f"{place}: must be an array")
    return tuple(_given(each, f"{place}[{index}]", schema) for index, each in enumerate(value))


def _given(value: Any, place: str, schema: Schema) -> Given:
    """One line of data: types are wire types."""
    entity = _object(value, place, _ENTITY)
    parents = entity.get("parents", [])
    if not isinstance(parents, list):
        raise BadTable(f"{place}.parents: must be an array")
    named = [_reference(each, f"{place}.parents[{index}]") for index, each in enumerate(parents)]
    return Given(
        _ward_type(_text(entity.get("type"), f"{place}.type"), f"{place}.type", schema),
        _text(entity.get("id"), f"{place}.id"),
        tuple((_ward_type(type_name, f"{place}.parents", schema), identifier) for type_name, identifier in named),
        _plain(entity, "attributes", f"{place}."),
    )


def _ward_type(wire_type: str, place: str, schema: Schema) -> str:
    found = schema.by_wire.get(wire_type)
    if found is None:
        raise BadTable(f"{place}: there is no entity type {wire_type!r} on the wire")
    return found


def _asked(value: Any, place: str) -> tuple[tuple[str, str], Mapping[str, Any]]:
    """`"user:nina"`, or `{"type": "user", "id": "nina", "properties": {..}}`."""
    properties = _plain(value, "properties", f"{place}.") if isinstance(value, dict) else {}
    return _reference(value, place), properties


def _reference(value: Any, place: str) -> tuple[str, str]:
    if isinstance(value, str):
        type_name, colon, identifier = value.partition(":")
        if not colon or not type_name or not identifier:
            raise BadTable(f'{place}: must be "type:id", or an object with type and id')
        return type_name, identifier
    if value is None:
        raise BadTable(f"{place}: is missing")
    entity = _object(value, place, frozenset({"type", "id", "properties"}))
    return _text(entity.get("type"), f"{place}.type"), _text(entity.get("id"), f"{place}.id")


def _action(value: Any, place: str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(value, dict):
        action = _object(value, place, frozenset({"name", "properties"}))
        return _text(action.get("name"), f"{place}.name"), _plain(action, "properties", f"{place}.")
    return _text(value, place), {}


def _expected(value: Any, place: str) -> Expected:
    """`{"decision": "allow" or "deny" (or true, false), ..}`, or that word alone."""
    members = _object(value, place, _EXPECT) if isinstance(value, dict) else {"decision": value}
    effect = members.get("decision")
    if isinstance(effect, bool):
        effect = "allow" if effect else "deny"
    if effect not in list(Effect):
        raise BadTable(f'{place}.decision: must be "allow" or "deny"')
    reason = members.get("reason")
    if reason is not None and reason not in list(Reason):
        raise BadTable(f"{place}.reason: must be one of {', '.join(Reason)}")

    def names(member: str) -> tuple[str, ...] | None:
        given = members.get(member)
        return None if given is None else tuple(_texts(given, f"{place}.{member}"))

    released, masked = names("released"), names("masked")
    return Expected(
        str(effect),
        names("rules"),
        None if reason is None else str(reason),
        None if released is None else frozenset(released),
        None if masked is None else frozenset(masked),
        names("obligations"),
        names("errors"),
    )


def _object(value: Any, place: str, members: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadTable(f"{place}: must be an object")
    unknown = sorted(set(value) - members)
    if unknown:
        raise BadTable(f"{place}: unknown member {unknown[0]!r}; there are {', '.join(sorted(members - {'$schema'}))}")
    return value


def _plain(holder: Mapping[str, Any], member: str, prefix: str) -> dict[str, Any]:
    value = holder.get(member)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadTable(f"{prefix}{member}: must be an object")
    return value


def _text(value: Any, place: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise BadTable(f"{place}: is missing" if value is None else f"{place}: must be a text that is not empty")


def _texts(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadTable(f"{place}: must be an array of texts")
    return value


def _instant(value: Any, place: str) -> int:
    try:
        return wire.instant(value)
    except wire.IllTyped as error:
        raise BadTable(f"{place}: {error.message}") from error
