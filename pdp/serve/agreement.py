"""Do the settings speak of what the policy set declares? Each side is sound alone; a name that only one of them knows
does nothing, in silence: a purpose that no rule reads, a duty that nobody asks for, a subject that no rule is about.

Nothing here opens or closes: these are warnings. Names of policies and profiles, for the operator alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pdp.config import Profile, Settings
from pdp.diagnostics.suggest import closest
from pdp.doors.duties import type_of
from pdp.identity.claims import PROFILES
from pdp.identity.issuer import Issuer
from pdp.identity.scopes import Smart
from pdp.language.core import PolicySet
from pdp.language.schema import Attribute, Schema
from pdp.language.types import EntityType
from pdp.language.wire import MAX_ASSERTED_ELEMENTS, IllTyped, converter


def disagreements(settings: Settings, policies: PolicySet) -> list[str]:
    """Each is one sentence that names the setting first. Same input, same output."""
    schema = policies.schema
    issued = {duty.name for rule in policies.rules for duty in rule.duties}
    found: list[str] = []
    for profile in settings.profiles:
        where = f"[pep.{profile.name}]"
        found += _context(where, profile.context, schema)
        found += _assertions(where, profile, schema)
        found += _obligations(where, profile, issued)
    for issuer in settings.issuers:
        found += _issuer(issuer, schema)
    for name, domain in settings.trust_domains.items():
        found += _type(f"[trust_domain.{name!r}]: `subject_type`", domain.subject_type, schema)
    if settings.trust_unverified_subject_header:
        found += _type("unverified_subject_type:", settings.unverified_subject_type, schema)
    if settings.smart != Smart() or any(map(_narrows, settings.issuers)):
        found += _smart(settings.smart, schema)
    return found


# ------------------------------------------------------------------------------------------------------------ profiles


def _context(where: str, fixed: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """What the operator has fixed, typed as the engine will."""
    for name, value in fixed.items():
        attribute = schema.context.get(name)
        if attribute is None:
            yield f"{where}: `context` fixes `{name}`, which the schema does not declare{_hint(name, schema.context)}"
        elif attribute.place != "caller":
            yield f"{where}: `context` fixes `{name}`, which is declared {_origin(attribute)}: nobody may assert it"
        else:
            try:
                converter(attribute.type, schema, most=MAX_ASSERTED_ELEMENTS)(value)
            except IllTyped as error:
                yield (
                    f"{where}: `context.{name}`: {error.message}; for every request of this profile it is unknown,"
                    " and every rule that reads it undecidable"
                )


def _assertions(where: str, profile: Profile, schema: Schema) -> Iterator[str]:
    for said in sorted(profile.may_assert):
        part, _, name = said.partition(".")
        if name in ("", "*"):
            continue
        declared = [each for each in _attributes(part, schema) if each.name == name]
        if not declared:
            known = {f"{part}.{each.name}" for each in _attributes(part, schema) if each.place == "caller"}
            yield f"{where}: `may_assert` names `{said}`, which the schema does not declare{_hint(said, known)}"
        elif all(each.place != "caller" for each in declared):
            yield f"{where}: `may_assert` names `{said}`, declared {_origin(declared[0])}: nobody may assert it"


def _attributes(part: str, schema: Schema) -> Iterator[Attribute]:
    if part == "context":
        yield from schema.context.values()
    for each in schema.actions.values() if part == "action" else ():
        yield from each.attributes.values()
    for entity in schema.entities.values() if part in ("subject", "resource") else ():
        yield from entity.attributes.values()


def _obligations(where: str, profile: Profile, issued: Collection[str]) -> Iterator[str]:
    for name in sorted(profile.capabilities.obligations - set(issued)):
        # `step-up` is also what a deny may ask for, without any rule (pdp.doors.stepup).
        if type_of(name) != "step-up":
            yield f"{where}: `obligations` names `{name}`, which no rule issues{_hint(name, issued)}"


# ----------------------------------------------------------------------------------------------------- issuers, scopes


def _issuer(issuer: Issuer, schema: Schema) -> Iterator[str]:
    where = f"[issuer.{issuer.name}]"
    if issuer.kind != "svid":  # Its subjects are of the type that the trust domain says.
        key = "subject_types" if issuer.subject_type_claim else "subject_type"
        for each in sorted(issuer.types()):
            yield from _type(f"{where}: `{key}`", each, schema)
    token = {each.name for each in _anywhere(schema) if each.place == "token"}
    for name in sorted(issuer.claims.keys() - token):
        yield f"{where}: `claims` reads `{name}`, which no attribute is declared for (`from token`){_hint(name, token)}"


def _anywhere(schema: Schema) -> Iterator[Attribute]:
    yield from schema.context.values()
    yield from _attributes("subject", schema)


def _type(where: str, wire: str, schema: Schema) -> Iterator[str]:
    declared = schema.entities.get(wire)
    if wire not in schema.by_wire:
        # As rules write it, and not as requests do.
        hint = f"; did you mean `{declared.wire}`?" if declared is not None else _hint(wire, schema.by_wire)
        yield f"{where} names `{wire}`, which is no (wire) type of the schema{hint}"


def _narrows(issuer: Issuer) -> bool:
    """Do scopes of its tokens count?"""
    return PROFILES[issuer.profile].smart_scopes if issuer.smart_scopes is None else issuer.smart_scopes


def _smart(smart: Smart, schema: Schema) -> Iterator[str]:
    for action, on in sorted(smart.needs):
        where = f"[smart]: `needs` of `{action} on {on}`"
        if action not in schema.action_by_wire:
            yield f"{where} names an action that the schema does not declare{_hint(action, schema.action_by_wire)}"
        elif on not in schema.by_wire:
            yield from _type(where, on, schema)
        elif (schema.action_by_wire[action], schema.by_wire[on]) not in schema.actions:
            yield f"{where}: the schema declares no such action on this type"
    yield from _type("[smart]: `patient_type`", smart.patient_type, schema)
    patient, name = schema.by_wire.get(smart.patient_type), smart.patient_attribute
    if patient is not None:
        fits = {each.name for each in _attributes("resource", schema) if _is_one(each, patient)}
        if name not in fits:
            yield (
                f"[smart]: `patient_attribute` names `{name}`, in which no type holds one {smart.patient_type} as data"
                f"{_hint(name, fits)}"
            )


def _is_one(attribute: Attribute, type_name: str) -> bool:
    """Does it hold one entity of the type, as stored?"""
    return attribute.stored and isinstance(attribute.type, EntityType) and type_name in attribute.type.names


# --------------------------------------------------------------------------------------------------------------- words


def _origin(attribute: Attribute) -> str:
    if attribute.place == "source":
        return f"`from source {attribute.source}`"
    return f"`from {attribute.place}`" if attribute.place != "data" else "as data"


def _hint(name: str, known: Iterable[str]) -> str:
    near = closest(name, known)
    return f"; did you mean `{near}`?" if near else ""
