"""A small schema and its routes for the tests of the doors."""

from pdp.diagnostics.source import NOWHERE
from pdp.doors.route import Table
from pdp.language.core import QueryParameter, Route, Segment, Target
from pdp.language.schema import ActionDeclaration, EntityDeclaration, Schema
from pdp.language.vocabulary import codes

ENTITIES = {"Clinician": "user", "Patient": "Patient", "Record": "record"}
ACTIONS = {"read": "read", "search": "search", "erase": "delete", "share": "share"}


def schema() -> Schema:
    entities = {name: EntityDeclaration(name, wire, frozenset(), {}) for name, wire in ENTITIES.items()}
    actions = {
        (name, resource): ActionDeclaration(name, wire, resource, frozenset({"Clinician"}), {})
        for name, wire in ACTIONS.items()
        for resource in ("Patient", "Record")
    }
    by_wire = {wire: name for name, wire in ENTITIES.items()}
    by_action = {wire: name for name, wire in ACTIONS.items()}
    return Schema(entities, {}, actions, {}, {}, {}, {}, codes({}), by_wire, by_action)


def route(
    methods: str,
    path: str,
    actions: str = "read",
    resource: Target | None = None,
    claims: tuple[tuple[str, Target], ...] = (),
    query: tuple[QueryParameter, ...] = (),
) -> Route:
    """`route("GET", "/fhir/Record/{record}")`; the resource is a Record named by the last parameter unless given."""
    segments = tuple(Segment(part.strip("{}"), part.startswith("{")) for part in path.strip("/").split("/") if part)
    last = next((each.text for each in reversed(segments) if each.parameter), "")
    target = resource or Target("Record", parameter=last)
    return Route(frozenset(methods.split()), segments, tuple(actions.split()), target, claims, query, NOWHERE)


def table(*routes: Route) -> Table:
    return Table(routes, schema())
