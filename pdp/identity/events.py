"""Security events of identity providers (SETs, RFC 8417), pushed to us (RFC 8935): what each of them revokes.

CAEP and RISC events by the Shared Signals Framework. A transmitter proves itself by its signature, speaks only of
subjects of the issuers that it is configured for, and only ever closes: no event opens anything, and none moves an
instant back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hmac import compare_digest
from typing import Any, Final, NoReturn

from pdp.identity import jose, registered
from pdp.identity.caller import FOREVER, Unknown, Waiting
from pdp.identity.identify import keys_of
from pdp.identity.jose import Jws
from pdp.identity.jwk import Key
from pdp.identity.keys import Keys
from pdp.identity.revocations import SECOND, SESSION, SUBJECT, TOKEN, TOKENS, Revocation, identified, instant
from pdp.identity.store import Store
from pdp.identity.transmitter import Transmitter
from pdp.model.request import RequestError

TYPES: Final = frozenset({"secevent+jwt", "application/secevent+jwt"})
MAX_BYTES: Final = 16_384
MAX_SECONDS: Final = 2**40

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"

NOTHING: Final = "nothing"  # noted, without effect
END: Final = "end"  # the session, where one is named; else all that the subject has authenticated before
ALL: Final = "all"  # all that the subject has authenticated before, whatever session is named
RENEW: Final = "renew"  # tokens issued before; a renewed one says what holds now

_Effect = str | Callable[[Mapping[str, Any]], str]

EFFECTS: Final[Mapping[str, _Effect]] = {
    CAEP + "session-revoked": END,
    CAEP + "credential-change": ALL,
    CAEP + "token-claims-change": RENEW,
    # Only what is said to be for the better is let be.
    CAEP + "assurance-level-change": lambda event: NOTHING if event.get("change_direction") == "increase" else RENEW,
    CAEP + "device-compliance-change": lambda event: NOTHING if event.get("current_status") == "compliant" else END,
    CAEP + "session-established": NOTHING,
    CAEP + "session-presented": NOTHING,
    CAEP + "risk-level-change": NOTHING,
    RISC + "account-disabled": ALL,
    RISC + "account-purged": ALL,
    RISC + "credential-compromise": ALL,
    RISC + "account-credential-change-required": ALL,
    RISC + "sessions-revoked": ALL,
    SSF + "verification": NOTHING,
    SSF + "stream-updated": NOTHING,
}
"""What each event does. One that is not here is noted, without effect (RFC 8417 section 2)."""


class EventRefused(Exception):
    """The event is not taken: `code` of RFC 8935 section 2.4, a sentence for the transmitter, the HTTP status."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Named:
    """Whom an event is about. Empty: not said."""

    issuer: str = ""
    user: str = ""
    session: str = ""
    token: str = ""


class Receiver:
    """Takes events for one process. Safe for threads; fetching keys may block."""

    def __init__(self, transmitters: Sequence[Transmitter]) -> None:
        self._transmitters = {each.name: each for each in transmitters}
        self._keys: dict[str, Keys] = {each.name: keys_of(each.signer) for each in transmitters}

    def known(self, name: str, authorization: str) -> bool:
        """Is there such a transmitter? Raises EventRefused where it does not show its secret."""
        transmitter = self._transmitters.get(name)
        if transmitter is None:
            return False
        if transmitter.secret is not None:
            scheme, _, given = authorization.partition(" ")
            shown = given.strip().encode("utf-8", "replace")
            if scheme.lower() != "bearer" or not compare_digest(shown, transmitter.secret):
                raise EventRefused("authentication_failed", "the transmitter has not proven itself", 401)
        return True

    def take(self, name: str, event: bytes, now: int, store: Store) -> str:
        """Verify an event, and do what it says. Durable when this returns: the event's type. Raises EventRefused and
        StoreError.
        """
        transmitter = self._transmitters[name]
        jws = self._verified(transmitter, event, now)
        claims = jws.claims
        token, kind, payload = _about(transmitter, claims, now)
        effect = EFFECTS.get(kind, NOTHING)
        action = effect if isinstance(effect, str) else effect(payload)
        try:
            revocations = _revocations(action, transmitter, claims, payload, now)
        except RequestError as error:
            raise EventRefused("invalid_request", str(error)) from error
        # Signed a second time it is the same event: what it says is compared, not its signature.
        said = jws.signed.partition(b".")[2]
        if not store.take_event(transmitter.signer.issuer, token, said, kind[:256], revocations, now):
            raise EventRefused("invalid_request", "this jti was used for another event")
        return kind

    # -------------------------------------------------------------------------------------------------- is it genuine

    def _verified(self, transmitter: Transmitter, event: bytes, now: int) -> Jws:
        signer = transmitter.signer
        try:
            jws = jose.parse(event, MAX_BYTES)
        except Unknown as unknown:
            raise EventRefused("invalid_request", f"not a signed token: {unknown.kind}") from unknown
        if str(jws.header.get("typ", "")).lower() not in TYPES:
            raise EventRefused("invalid_request", "typ must be secevent+jwt")
        if type(jws.claims.get("iss")) is not str or jws.claims["iss"] != signer.issuer:
            raise EventRefused("invalid_issuer", "iss is not this transmitter's")
        if jws.header["alg"] not in signer.algorithms:
            raise EventRefused("invalid_key", "this algorithm is not used here")
        try:
            jose.verify(jws, self._key(signer.name, jws, now))
        except Unknown as unknown:
            _refuse_key(unknown)
        return jws

    def _key(self, name: str, jws: Jws, now: int) -> Key:
        """The key, fetched when it has to be."""
        try:
            return self._keys[name].find(jws.header, now)[0]
        except Waiting as waiting:
            waiting.work()
        try:
            return self._keys[name].find(jws.header, now)[0]
        except Waiting:
            raise Unknown("keys-unavailable") from None


def _refuse_key(unknown: Unknown) -> NoReturn:
    if unknown.kind == "keys-unavailable":
        raise EventRefused("invalid_key", "the transmitter's keys cannot be had now", 503) from unknown
    if unknown.kind == "bad-signature":
        raise EventRefused("authentication_failed", "the signature is not the transmitter's") from unknown
    raise EventRefused("invalid_key", f"no key for this event: {unknown.kind}") from unknown


def _about(transmitter: Transmitter, claims: Mapping[str, Any], now: int) -> tuple[str, str, Mapping[str, Any]]:
    """`jti`, the type and the payload of an event that is for us and of now. Raises EventRefused."""
    signer = transmitter.signer
    try:
        registered.for_us(signer, claims)
    except Unknown as unknown:
        raise EventRefused("invalid_audience", "aud does not name this recipient") from unknown
    try:
        token, issued, ends = (registered.identifier(claims, "jti"), *_times(claims))
    except Unknown as unknown:
        raise EventRefused("invalid_request", "jti must be a text, iat and exp whole seconds") from unknown
    if not token or issued is None:
        raise EventRefused("invalid_request", "jti and iat are required")
    if (issued - signer.leeway_seconds) * SECOND > now:
        raise EventRefused("invalid_request", "iat is in the future")
    if (issued + transmitter.max_age_seconds) * SECOND < now or (ends is not None and ends * SECOND <= now):
        raise EventRefused("invalid_request", "the event is too old")
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1:
        raise EventRefused("invalid_request", "events must hold exactly one event")
    kind, payload = next(iter(events.items()))
    if not isinstance(payload, dict):
        raise EventRefused("invalid_request", "an event must be an object")
    return token, kind, payload


def _times(claims: Mapping[str, Any]) -> tuple[int | None, int | None]:
    return registered.whole(claims, "iat"), registered.whole(claims, "exp")


# ------------------------------------------------------------------------------------------------------ what it revokes


def _revocations(
    action: str, transmitter: Transmitter, claims: Mapping[str, Any], payload: Mapping[str, Any], now: int
) -> list[Revocation]:
    """Raises RequestError where it is not said whom they would be about: what we could not do, we do not accept."""
    if action == NOTHING:
        return []
    found = [_named(each, transmitter.subjects) for each in _names(claims.get("sub_id"))]
    ours = [each for each in found if each.issuer in transmitter.subjects]
    if not ours:
        raise EventRefused("access_denied", "the transmitter may not speak of subjects of this issuer")
    before, source = instant(_happened(claims, payload), now), f"transmitter {transmitter.name}"
    return [_revocation(action, each, before, source) for each in ours]


def _revocation(action: str, named: Named, before: int, source: str) -> Revocation:
    def revoked(kind: str, value: str, not_before: int) -> Revocation:
        return Revocation(named.issuer, kind, value, not_before, "", source)

    if named.user and action == RENEW:
        return revoked(TOKENS, named.user, before)
    if named.user and (action == ALL or not (named.session or named.token)):
        return revoked(SUBJECT, named.user, before)
    if named.session:
        return revoked(SESSION, named.session, FOREVER)
    return revoked(TOKEN, named.token, FOREVER)


def _names(subject: object) -> list[object]:
    """One person has several names where `aliases` hold more than one `iss_sub`: under each of them tokens may live."""
    if not isinstance(subject, dict) or subject.get("format") != "aliases":
        return [subject]
    return _exact(subject) or [subject]


def _exact(aliases: Mapping[str, Any]) -> list[object]:
    listed = aliases.get("identifiers")
    if not isinstance(listed, list):
        return []
    return [each for each in listed if isinstance(each, dict) and each.get("format") == "iss_sub"]


def _happened(claims: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
    """When, in whole seconds: `event_timestamp`, else when the event was issued, which was not earlier."""
    said = payload.get("event_timestamp", claims["iat"])
    if isinstance(said, bool) or not isinstance(said, int | Decimal) or not 0 <= said < MAX_SECONDS:
        raise RequestError("must be seconds since the epoch", "event_timestamp")
    return int(said)


def _named(subject: object, issuers: frozenset[str]) -> Named:
    """Whom `sub_id` names (RFC 9493, and the complex subjects of SSF). `issuers`: whose an opaque identifier may be.
    Raises RequestError.
    """
    if not isinstance(subject, dict):
        raise RequestError("must be an object", "sub_id")
    if subject.get("format", "complex" if {"user", "session"} & subject.keys() else None) != "complex":
        return _simple(subject, issuers, "sub_id")
    user = _simple(subject["user"], issuers, "sub_id.user") if "user" in subject else Named()
    if user.token:
        raise RequestError("must name a user", "sub_id.user")
    whose = frozenset({user.issuer}) if user.issuer else issuers
    session = _simple(subject["session"], whose, "sub_id.session") if "session" in subject else Named()
    if user.issuer and session.issuer not in ("", user.issuer):
        raise RequestError("names a user and a session of two issuers", "sub_id")
    if not user.user and not session.issuer:
        raise RequestError("names neither a user nor a session: what it revokes is not known", "sub_id")
    # What names a user elsewhere names a session in a session's place.
    return Named(user.issuer or session.issuer, user.user, session.user, session.token)


def _simple(subject: object, issuers: frozenset[str], where: str) -> Named:
    if not isinstance(subject, dict):
        raise RequestError("must be an object", where)
    kind = subject.get("format")
    if kind == "iss_sub":
        return Named(identified(subject, "iss"), user=identified(subject, "sub"))
    if kind == "jwt_id":
        return Named(identified(subject, "iss"), token=identified(subject, "jti"))
    if kind == "opaque" and len(issuers) == 1:
        return Named(next(iter(issuers)), user=identified(subject, "id"))
    if kind == "opaque":
        raise RequestError("an opaque identifier could be of several issuers: iss_sub says which", where)
    if kind == "aliases":
        exact = _exact(subject)
        if len(exact) > 1:
            raise RequestError("names several users", where)
        if exact:
            return _simple(exact[0], issuers, where)
    # An e-mail address or a telephone number is nobody's `sub`, and whose it is changes.
    raise RequestError("must be of the format iss_sub, jwt_id, opaque or complex", where)
