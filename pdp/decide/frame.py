"""From what was said to what is known: a request becomes the typed `Frame` that rules are evaluated on.

Each attribute has one place (SEMANTICS 5). What that place said is typed; what it did not say is absent only if the
place spoke, the attribute is optional, and nobody else tried to say it. All else is unknown: an error where it is read.
A `Plan` holds what is known before any request, for one (subject type, action, resource type); it is made once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from pdp.compile.reads import ANCESTORS
from pdp.language.schema import Attribute, Schema, one, record
from pdp.language.types import BOOL, EntityType, ListType, RecordType, SetType, Type
from pdp.language.wire import MAX_ASSERTED_ELEMENTS, MAX_ELEMENTS, IllTyped, converter
from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.request import Request, RequestError
from pdp.model.value import ABSENT, UNKNOWN, UNKNOWN_ROW, Entity, Missing, Row, State, Value, entity

if TYPE_CHECKING:
    from pdp.compile.program import DecisionFunction

MAX_IDENTIFIER: Final = 512

Place = Callable[[Request], Mapping[str, Any] | None]

PLACES: Final[dict[str, dict[str, Place]]] = {
    "subject": {
        "caller": attrgetter("subject_properties"),
        "token": attrgetter("token"),
        "certificate": attrgetter("certificate"),
    },
    "action": {"caller": attrgetter("action_properties")},
    "resource": {"caller": attrgetter("resource_properties"), "route": attrgetter("route")},
    "context": {
        "caller": attrgetter("context"),
        "token": attrgetter("token"),
        "certificate": attrgetter("certificate"),
    },
}
"""Which places of a request may speak about its subject, action, resource and context. Any other is silent, but for the
sources of the context (`sourced`)."""


def identifies(text: object) -> bool:
    """Can this be an entity's identifier: NFC, 1 to 512 characters, no NUL, no lone surrogate (SEMANTICS 9)?"""
    if type(text) is not str or not 0 < len(text) <= MAX_IDENTIFIER or "\0" in text:
        return False
    if text.isascii():
        return True
    return unicodedata.is_normalized("NFC", text) and not any("\ud800" <= each <= "\udfff" for each in text)


class Reader:
    """Reads one attribute of one part of the request: `reader(request)` is its state."""

    __slots__ = ("attribute", "convert", "label", "others", "own", "part")

    def __init__(self, part: str, attribute: Attribute, schema: Schema, homonyms: Mapping[str, Attribute]) -> None:
        places = PLACES[part]
        twin = homonyms.get(attribute.name)
        self.part = part
        self.attribute = attribute
        self.label = f"{part}.{attribute.name}"
        self.own = sourced(attribute.source) if attribute.place == "source" else places.get(attribute.place)
        # A token's `role` that is declared as the subject's says nothing about the context's `role`.
        self.others = tuple(
            place
            for name, place in places.items()
            if name != attribute.place and not (twin is not None and twin.place == name != "caller")
        )
        # SEMANTICS 21: to ordinary rules, whoever asserts an emergency has said no purpose. What a token says the
        # subject may assert is no assertion yet.
        asserted = part in ("context", "action") or attribute.place == "caller"
        most = MAX_ASSERTED_ELEMENTS if asserted else MAX_ELEMENTS
        self.convert = converter(attribute.type, schema, ordinary=asserted, most=most)

    def __call__(self, request: Request) -> State:
        values = None if self.own is None else self.own(request)
        raw = None if values is None else values.get(self.attribute.name)
        if raw is None:
            spoke = values is not None and self.attribute.optional
            return ABSENT if spoke and not self.offered(request) else UNKNOWN
        try:
            return self.convert(raw)
        except IllTyped:
            return UNKNOWN

    def said(self, request: Request) -> bool:
        """Did the attribute's own place give a value, sound or not?"""
        values = None if self.own is None else self.own(request)
        return values is not None and values.get(self.attribute.name) is not None

    def offered(self, request: Request) -> bool:
        """Did a place that does not own the attribute, or a caller who may not, offer a value for it?"""
        if self.label in request.refused:
            return True
        return any(
            values.get(self.attribute.name) is not None
            for other in self.others
            if (values := other(request)) is not None
        )


def sourced(source: str) -> Place:
    """The place `from source NAME` of the context."""

    def said(request: Request) -> Mapping[str, Any] | None:
        return None if request.sourced is None else request.sourced.get(source)

    return said


class Plan:
    """How requests of one subject type for one (action, resource type) become frames."""

    __slots__ = (
        "action",
        "action_unread",
        "both",
        "claimable",
        "context",
        "context_unread",
        "function",
        "provisions",
        "reads_resource",
        "reads_subject",
        "resource",
        "resource_prefix",
        "resource_type",
        "resource_width",
        "subject",
        "subject_prefix",
        "subject_type",
        "subject_width",
        "through",
        "volatile",
    )

    def __init__(self, function: DecisionFunction, subject_type: str, schema: Schema) -> None:
        reads = function.reads
        subject, resource = schema.entities[subject_type], schema.entities[function.resource_type]
        declared = schema.actions[function.action, function.resource_type]
        self.function = function
        self.subject_type, self.resource_type = subject_type, resource.name
        self.subject_prefix, self.resource_prefix = entity(subject_type, ""), entity(resource.name, "")
        self.subject_width, self.resource_width = len(subject.attributes) + 1, len(resource.attributes) + 1
        self.context_unread: Row = (UNKNOWN,) * len(schema.context)
        self.action_unread: Row = (UNKNOWN,) * len(declared.attributes)
        self.provisions = [
            (each.slot, subject.attributes.get(each.provisioned_by)) for each in reads.context if each.provisioned_by
        ]
        needed = [each for _, each in self.provisions if each is not None]
        of_subject = {each.name: each for each in (*reads.subject_attributes.get(subject_type, ()), *needed)}
        self.subject = _readers("subject", of_subject.values(), schema, schema.context)
        self.action = _readers("action", reads.action, schema)
        self.resource = _readers("resource", reads.resource_attributes, schema)
        self.context = _readers("context", reads.context, schema, subject.attributes)
        # What a source says of this request may differ the next moment: an answer that has read it is not kept.
        self.volatile = any(each.attribute.place == "source" for each in self.context)
        self.both = self._readers_of_both(schema) if subject_type == resource.name else []
        self.claimable = {
            each.name: (each.slot, converter(each.type, schema))
            for each in resource.attributes.values()
            if each.place != "route"
        }
        roots: dict[str, Type] = {
            "subject": one(subject_type),
            "resource": one(resource.name),
            "context": schema.context_type(),
            "action": record(declared.attributes),
        }
        self.through = any(_through(path, roots, schema) for path in reads.paths)
        # An entity that is reached through a reference may turn out to be the subject or the resource, and then looks
        # as the request says (`Frame.row`): whether it is so depends on who they are.
        self.reads_subject = reads.subject or self.through or any(each.stored for each in needed)
        self.reads_resource = reads.resource or self.through

    def _readers_of_both(self, schema: Schema) -> list[tuple[Reader, Reader]]:
        attributes = {each.attribute.name: each.attribute for each in (*self.subject, *self.resource)}
        as_subject = _readers("subject", attributes.values(), schema, schema.context)
        return list(zip(as_subject, _readers("resource", attributes.values(), schema), strict=True))

    def bind(self, request: Request, entities: Entities, now: int) -> Frame:
        """The frame of a request. Raises RequestError for an identifier that is not sound (`identifies`)."""
        rows = entities.rows
        try:
            # What `entity` makes of it, without the calls.
            subject: Entity = self.subject_prefix + request.subject_id  # type: ignore[assignment]
            resource: Entity = self.resource_prefix + request.resource_id  # type: ignore[assignment]
        except TypeError as error:
            raise RequestError("an identifier is a text") from error
        # What the store knows by its name has a sound one.
        subject_row = rows.get(subject) or _stranger(request.subject_id, "subject.id")
        resource_row = rows.get(resource) or _stranger(request.resource_id, "resource.id")
        if subject == resource:
            subject_row = resource_row = self._merged(subject_row, request)
        else:
            if self.subject:
                subject_row = _filled(subject_row, self.subject_width, self.subject, request)
            if self.resource:
                resource_row = _filled(resource_row, self.resource_width, self.resource, request)
        if request.route:
            resource_row = self._disputed(resource_row, request.route)
            if subject == resource:
                subject_row = resource_row
        context_row = _made(self.context_unread, self.context, request) if self.context else self.context_unread
        if self.provisions:
            context_row = self._provisioned(context_row, subject_row)
        action_row = _made(self.action_unread, self.action, request) if self.action else self.action_unread
        return Frame(subject, resource, subject_row, resource_row, action_row, context_row, rows, now)

    def _merged(self, stored: Row, request: Request) -> Row:
        """One entity that is subject and resource at once has one row."""
        if not self.both:
            return stored
        row = list(stored[: self.subject_width])
        for as_subject, as_resource in self.both:
            row[as_subject.attribute.slot] = _agreed(as_subject, as_resource, request)
        return tuple(row)

    def _disputed(self, row: Row, claims: Mapping[str, Any]) -> Row:
        """What a route claims and the owner does not say is unknown (SEMANTICS 6)."""
        doubtful = [
            self.claimable[name][0]
            for name, claim in claims.items()
            if claim is not None and name in self.claimable and not _says(row, *self.claimable[name], claim)
        ]
        if not doubtful:
            return row
        disputed = list(row[: self.resource_width])
        for slot in doubtful:
            disputed[slot] = UNKNOWN
        return tuple(disputed)

    def _provisioned(self, context_row: tuple[object, ...], subject_row: Row) -> tuple[object, ...]:
        """A purpose that the subject is not provisioned for is unknown (SEMANTICS 21)."""
        row = list(context_row)
        for slot, needed in self.provisions:
            held = UNKNOWN if needed is None else subject_row[needed.slot]
            if not isinstance(row[slot], Missing) and (not isinstance(held, frozenset) or row[slot] not in held):
                row[slot] = UNKNOWN
        return tuple(row)


def _readers(
    part: str, attributes: Iterable[Attribute], schema: Schema, homonyms: Mapping[str, Attribute] | None = None
) -> list[Reader]:
    """Readers of those attributes that a request can speak about; the store speaks for the others."""
    return [
        Reader(part, each, schema, homonyms or {})
        for each in attributes
        if not each.stored or (part == "context" and each.place == "source")
    ]


def _stranger(identifier: str, name: str) -> Row:
    """The row of an entity that the store does not know. Raises RequestError."""
    if not identifies(identifier):
        raise RequestError("not an identifier", name)
    return UNKNOWN_ROW


def _filled(stored: Row, width: int, readers: list[Reader], request: Request) -> Row:
    row = list(stored[:width])
    for reader in readers:
        row[reader.attribute.slot] = reader(request)
    return tuple(row)


def _made(unread: Row, readers: list[Reader], request: Request) -> Row:
    """A row of the context or the action: what the rules do not read is not looked at, and stays unknown."""
    row = list(unread)
    for reader in readers:
        row[reader.attribute.slot] = reader(request)
    return tuple(row)


def _agreed(as_subject: Reader, as_resource: Reader, request: Request) -> State:
    """One attribute of an entity in two parts: what is said must be said alike, and may be said once."""
    views = [view for view in (as_subject, as_resource) if view.own is not None]
    said = [view(request) for view in views if view.said(request)]
    if not said:
        states = [view(request) for view in views]
        offered = as_subject.offered(request) or as_resource.offered(request)
        return ABSENT if not offered and any(state is ABSENT for state in states) else UNKNOWN
    if any(isinstance(state, Missing) for state in said) or said[0] != said[-1]:
        return UNKNOWN
    return said[0]


def _says(row: Row, slot: int, convert: Callable[[Any], Value], claim: object) -> bool:
    """Is the claim what the owner of the attribute says?"""
    stated = row[slot]
    if isinstance(stated, Missing):
        return False
    try:
        return stated == convert(claim)
    except IllTyped:
        return False


def _through(path: str, roots: Mapping[str, Type], schema: Schema) -> bool:
    """Does this path of the read set look into an entity that it reached by a reference? If in doubt, yes."""
    first, *steps = path.replace("[*]", ".*").split(".")
    at = roots.get(first)
    for number, step in enumerate(steps):
        if isinstance(at, EntityType) and number > 0:
            return True
        at = _step(at, step, schema)
        if at is None:
            return True
    return False


def _step(at: Type | None, step: str, schema: Schema) -> Type | None:
    match at:
        case EntityType() if step == ANCESTORS:
            return BOOL  # Nothing lies below it.
        case EntityType(names):
            attribute = schema.entities[min(names)].attributes.get(step)
            return None if attribute is None else attribute.type
        case RecordType(fields):
            return next((each.type for each in fields if each.name == step), None)
        case SetType(element) | ListType(element) if step == "*":
            return element
        case _:
            return None
