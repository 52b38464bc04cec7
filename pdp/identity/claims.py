"""What a verified token says, as a `Caller`: profiles are tables of data, an issuer's settings add to them.

A value goes on as the JSON value that it is; what does not fit its declared type is unknown where a rule reads it. Only
codes are rewritten, since every profile writes them its own way: to "system|code", which a rule's vocabulary knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pdp.identity import scopes
from pdp.identity.caller import Caller, Suspect, Unknown
from pdp.identity.issuer import Issuer, Reading
from pdp.identity.registered import SECOND, Validity, identifier, identifying, whole

MAX_ACTORS: Final = 8
MAX_SCOPES: Final = 500
SPIFFE: Final = "spiffe://"


@dataclass(frozen=True, slots=True)
class Profile:
    """Attributes by name; and whether `scope` holds SMART scopes, which narrow."""

    attributes: Mapping[str, Reading]
    smart_scopes: bool = False


def _of(*start: str, **paths: str) -> dict[str, Reading]:
    """`name="claim"`, or `name="claim as reading"`, below `start`."""
    found = {}
    for name, text in paths.items():
        claim, _, read = text.partition(" as ")
        found[name] = Reading((*start, claim), read or "as-is")
    return found


OIDC: Final = _of(
    name="name",
    preferred_username="preferred_username",
    email="email",
    email_verified="email_verified",
    groups="groups",
    roles="roles",
    entitlements="entitlements",
)
"""OpenID Connect Core 5.1, and the authorization claims of RFC 9068 section 2.2.3.1."""

SMART: Final = OIDC | _of(fhir_user="fhirUser", patient="patient", encounter="encounter", tenant="tenant")

IUA: Final = OIDC | _of(
    "extensions",
    "ihe_iua",
    subject_name="subject_name",
    organization="subject_organization",
    organization_id="subject_organization_id",
    role="subject_role as one-code",
    roles="subject_role as codes",
    purpose="purpose_of_use as one-code",
    purposes="purpose_of_use as codes",
    home_community="home_community_id",
    national_provider="national_provider_identifier",
    person="person_id",
)
IUA_CONSENT: Final = _of("extensions", "ihe_bppc", consent_patient="patient_id", consent="doc_id", consent_policy="acp")

UDAP: Final = OIDC | _of(
    "extensions",
    "hl7-b2b",
    subject_name="subject_name",
    person="subject_id",
    role="subject_role as one-code",
    organization="organization_name",
    organization_id="organization_id",
    purpose="purpose_of_use as one-code",
    purposes="purpose_of_use as codes",
    consent_policy="consent_policy",
    consent="consent_reference",
)

PROFILES: Final[Mapping[str, Profile]] = {
    "oidc": Profile(OIDC),
    "smart": Profile(SMART, smart_scopes=True),
    "iua": Profile(IUA | IUA_CONSENT),
    "udap": Profile(UDAP, smart_scopes=True),
}

SYSTEMS: Final = {
    "2.16.840.1.113883.5.8": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "2.16.840.1.113883.5.4": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "2.16.840.1.113883.5.25": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "2.16.840.1.113883.5.110": "http://terminology.hl7.org/CodeSystem/v3-RoleClass",
    "2.16.840.1.113883.5.111": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "2.16.840.1.113883.6.101": "http://nucc.org/provider-taxonomy",
}
"""Code systems by object identifier (`urn:oid:..`, or bare), and the URI that FHIR has for each."""


# ------------------------------------------------------------------------------------------------------------ readings


def code(value: Any, codes: Mapping[str, str]) -> Any:
    """A code as "system|code": from {system, code}, from "system#code", or from a text of the table. All else as is."""
    if isinstance(value, dict):
        system, symbol = value.get("system"), value.get("code")
        if not isinstance(system, str) or not isinstance(symbol, str) or "|" in system or "|" in symbol:
            return value
    elif isinstance(value, str):
        system, _, symbol = value.rpartition("#")
        if not system or "|" in value:
            return codes.get(value, value)
    else:
        return value
    written = f"{SYSTEMS.get(system.removeprefix('urn:oid:'), system)}|{symbol}"
    return codes.get(written, written)


def _codes(value: Any, codes: Mapping[str, str]) -> Any:
    return [code(each, codes) for each in value] if isinstance(value, list) else code(value, codes)


def _one(value: Any, _codes: Mapping[str, str]) -> Any:
    """What a list of one holds. A list of several stays a list, which fits no single value: it is unknown then
    (SEMANTICS 21: several purposes at once are none).
    """
    return value[0] if isinstance(value, list) and len(value) == 1 else value


READINGS: Final[Mapping[str, Callable[[Any, Mapping[str, str]], Any]]] = {
    "as-is": lambda value, _: value,
    "one": _one,
    "code": code,
    "codes": _codes,
    "one-code": lambda value, codes: code(_one(value, codes), codes),
    "words": lambda value, _: value.split(" ") if isinstance(value, str) and value else value,
}
"""What is made of a claim's value: nothing; a list's only element; codes; the words of a text that blanks part."""


def path(text: str) -> tuple[str, ...]:
    r"""`a.b` is the member `b` of the claim `a`; `\.` is a dot in a name, `\\` a backslash. Raises ValueError."""
    members, current, escaped = [], "", False
    for character in text:
        if escaped:
            if character not in ".\\":
                raise ValueError("a backslash stands only before a dot or a backslash")
            current, escaped = current + character, False
        elif character == "\\":
            escaped = True
        elif character == ".":
            members.append(current)
            current = ""
        else:
            current += character
    members.append(current)
    if escaped or not all(members) or len(members) > 8:
        raise ValueError("a path is names of claims with dots between them")
    return tuple(members)


def at(claims: Any, steps: Sequence[str]) -> Any:
    """The value there, or None."""
    for step in steps:
        if not isinstance(claims, dict):
            return None
        claims = claims.get(step)
    return claims


# -------------------------------------------------------------------------------------------------------------- caller


def caller(issuer: Issuer, claims: Mapping[str, Any], validity: Validity, now: int) -> Caller:
    """Who a verified token speaks of. Raises Unknown where it does not say, or says it in two ways."""
    profile = PROFILES[issuer.profile]
    actors = _actors(claims.get("act")) if "act" in claims else ()
    smart = profile.smart_scopes if issuer.smart_scopes is None else issuer.smart_scopes
    issued = (whole(claims, "iat") or 0) * SECOND
    authenticated = whole(claims, "auth_time")
    if authenticated is not None and now < (authenticated - issuer.leeway_seconds) * SECOND:
        raise Unknown("not-yet-valid")
    acr, amr, warnings = _assurance(claims)
    if not smart and issuer.smart_scopes is None and any(map(scopes.parse, _scopes(claims.get("scope")))):
        warnings = (*warnings, "smart-scopes-ignored")
    subject_id, sub = _subject(issuer, claims), identifier(claims, "sub")
    return Caller(
        subject_type=_type(issuer, claims),
        subject_id=subject_id,
        via="token",
        token=_attributes(profile, issuer, claims, actors),
        issuer=issuer.issuer,
        client=identifier(claims, "client_id") or identifier(claims, "azp"),
        token_id=identifier(claims, "jti"),
        session=identifier(claims, "sid"),
        actors=actors,
        scopes=_scopes(claims.get("scope")) if smart else None,
        patient=_launch(claims.get("patient")) if smart else "",
        acr=acr,
        amr=amr,
        issued=issued,
        authenticated=issued if authenticated is None else authenticated * SECOND,
        tells_authentication=authenticated is not None,
        sub=sub if sub != subject_id else "",
        expires=validity.until,
        warnings=warnings,
    )


def suspect(issuer: Issuer, claims: Mapping[str, Any]) -> Suspect:
    """Whom a token is about that is well signed, and does not count. Raises nothing."""
    if issuer.kind != "svid":
        with suppress(Unknown):
            return Suspect(issuer.name, _type(issuer, claims), _subject(issuer, claims))
    return Suspect(issuer.name)


def _subject(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    found = at(claims, issuer.subject_claim)
    if found is None:
        raise Unknown("missing-claim")
    named = identifying(found)
    if issuer.kind != "svid" and named.startswith(SPIFFE):
        raise Unknown("imitates-spiffe")  # A trust domain alone says who a workload is.
    found = issuer.subject_prefix + named
    if found.startswith(issuer.reserved_prefixes):
        raise Unknown("imitates-another-issuer")
    return identifying(found)


def _type(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    if not issuer.subject_type_claim:
        return issuer.subject_type
    said = at(claims, issuer.subject_type_claim)
    found = issuer.subject_types.get(said) if isinstance(said, str) else None
    if found is None:
        raise Unknown("unknown-subject-type")
    return found


def _attributes(
    profile: Profile, issuer: Issuer, claims: Mapping[str, Any], actors: tuple[str, ...]
) -> Mapping[str, Any]:
    found = {"actor": actors[0]} if actors else {}
    for name, reading in {**profile.attributes, **issuer.claims}.items():
        value = at(claims, reading.path)
        if value is not None:
            found[name] = READINGS[reading.read](value, issuer.codes)
    return found


def _actors(act: object) -> tuple[str, ...]:
    """RFC 8693 section 4.1: the outermost acts now, those within acted before it."""
    found: list[str] = []
    while act is not None:
        if not isinstance(act, dict) or len(found) == MAX_ACTORS or "sub" not in act:
            raise Unknown("actor-chain")
        found.append(identifying(act["sub"]))
        act = act.get("act")
    if not found:
        raise Unknown("actor-chain")
    return tuple(found)


def _scopes(scope: object) -> tuple[str, ...]:
    """The scopes, in order. Whatever is not a text of words grants nothing."""
    if not isinstance(scope, str):
        return ()
    words = tuple(each for each in scope.split(" ") if each)
    return words if len(words) <= MAX_SCOPES else ()


def _launch(patient: object) -> str:
    return "" if patient is None else identifying(patient)


def _assurance(claims: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """`acr`, `amr` and warnings. What is ill-formed assures of nothing."""
    acr, amr = claims.get("acr", ""), claims.get("amr", [])
    warnings = []
    if not isinstance(acr, str):
        acr, warnings = "", ["acr-ignored"]
    if not isinstance(amr, list) or not all(isinstance(each, str) for each in amr):
        amr = []
        warnings.append("amr-ignored")
    return acr, tuple(amr), tuple(warnings)
