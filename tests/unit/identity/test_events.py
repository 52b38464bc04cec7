"""Security events: who may send them, what each revokes, and that nothing forged, repeated or misdirected does."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import FOREVER
from pdp.identity.events import CAEP, EFFECTS, RISC, SSF, EventRefused, Receiver
from pdp.identity.issuer import Issuer, KeySource
from pdp.identity.revocations import SECOND, SESSION, SUBJECT, TOKEN, TOKENS, Revocation
from pdp.identity.store import Store, StoreError, prepare
from pdp.identity.transmitter import Transmitter
from tests.unit.identity.tokens import Signer, assemble, b64, signer

ISSUER = "https://idp.hospital.example"
OTHER = "https://other.example"
US = "https://pdp.hospital.example/events"
SECONDS = 1_780_000_000
NOW = SECONDS * SECOND
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "dora"}
REVOKED = CAEP + "session-revoked"


def transmitter(name: str = "idp", keys: KeySource | None = None, **changed: Any) -> Transmitter:
    found = keys or KeySource(inline=(signer().jwk(),))
    return Transmitter(Issuer(name, ISSUER, frozenset({US}), "jwt", keys=found), **{"subjects": {ISSUER}} | changed)


def event(
    kind: str = REVOKED,
    payload: Mapping[str, Any] | None = None,
    by: Signer | None = None,
    header: Mapping[str, Any] | None = None,
    **changed: Any,
) -> bytes:
    """A good event with changes: None leaves a claim, or a member of the header, out."""
    by = by or signer()
    claims = {
        "iss": ISSUER,
        "aud": US,
        "jti": "e-1",
        "iat": SECONDS - 1,
        "sub_id": USER,
        "events": {kind: {"event_timestamp": SECONDS - 5} if payload is None else payload},
    } | changed
    full = {"alg": by.algorithm, "typ": "secevent+jwt", "kid": by.kid} | dict(header or {})
    return assemble(
        {name: value for name, value in full.items() if value is not None},
        {name: value for name, value in claims.items() if value is not None},
        by,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    prepare(tmp_path / "state")
    return Store(tmp_path / "state")


def taken(store: Store, *events: bytes, by: Transmitter | None = None, now: int = NOW) -> list[tuple[str, str, int]]:
    """What is revoked after these events."""
    receiver = Receiver([by or transmitter()])
    for each in events:
        receiver.take("idp", each, now, store)
    return [(each.kind, each.value, each.not_before) for each in store.revocations()]


def refused(store: Store, sent: bytes, by: Transmitter | None = None, now: int = NOW) -> str:
    """The code with which an event is refused, after which nothing is revoked."""
    with pytest.raises(EventRefused) as error:
        Receiver([by or transmitter()]).take("idp", sent, now, store)
    assert store.revocations() == []
    assert not {"dora", "e-1"} & set(error.value.description.split())
    return error.value.code


# -------------------------------------------------------------------------------------------------------- what it does

BEFORE = (SECONDS - 4) * SECOND
"""All of the second in which it happened."""

SID = {"format": "opaque", "id": "s-1"}
BOTH = {"format": "complex", "user": USER, "session": SID}
DEVICE = {"format": "complex", "user": USER, "device": {"format": "opaque", "id": "d-1"}}


@pytest.mark.parametrize(
    ("kind", "payload", "subject", "expected"),
    [
        (REVOKED, {}, USER, (SUBJECT, "dora", BEFORE)),
        (REVOKED, {}, BOTH, (SESSION, "s-1", FOREVER)),
        (REVOKED, {}, {"user": USER, "session": SID}, (SESSION, "s-1", FOREVER)),
        (REVOKED, {}, {"format": "complex", "session": SID}, (SESSION, "s-1", FOREVER)),
        (REVOKED, {}, {"format": "opaque", "id": "dora"}, (SUBJECT, "dora", BEFORE)),
        (REVOKED, {}, {"format": "jwt_id", "iss": ISSUER, "jti": "t-1"}, (TOKEN, "t-1", FOREVER)),
        (REVOKED, {}, {"format": "aliases", "identifiers": [{"format": "email"}, USER]}, (SUBJECT, "dora", BEFORE)),
        (CAEP + "credential-change", {"change_type": "update"}, USER, (SUBJECT, "dora", BEFORE)),
        (CAEP + "credential-change", {}, BOTH, (SUBJECT, "dora", BEFORE)),
        (CAEP + "token-claims-change", {"claims": {"role": "x"}}, USER, (TOKENS, "dora", BEFORE)),
        (CAEP + "token-claims-change", {}, BOTH, (TOKENS, "dora", BEFORE)),
        (CAEP + "assurance-level-change", {"change_direction": "decrease"}, USER, (TOKENS, "dora", BEFORE)),
        (CAEP + "assurance-level-change", {}, USER, (TOKENS, "dora", BEFORE)),
        (CAEP + "assurance-level-change", {"change_direction": "increase"}, USER, None),
        (CAEP + "device-compliance-change", {"current_status": "not-compliant"}, DEVICE, (SUBJECT, "dora", BEFORE)),
        (CAEP + "device-compliance-change", {"current_status": "?"}, BOTH, (SESSION, "s-1", FOREVER)),
        (CAEP + "device-compliance-change", {"current_status": "compliant"}, DEVICE, None),
        (CAEP + "session-established", {}, USER, None),
        (CAEP + "session-presented", {}, USER, None),
        (CAEP + "risk-level-change", {"current_level": "HIGH"}, USER, None),
        (RISC + "account-disabled", {"reason": "hijacking"}, USER, (SUBJECT, "dora", BEFORE)),
        (RISC + "account-purged", {}, USER, (SUBJECT, "dora", BEFORE)),
        (RISC + "credential-compromise", {"credential_type": "password"}, USER, (SUBJECT, "dora", BEFORE)),
        (RISC + "account-enabled", {}, USER, None),
        (SSF + "verification", {"state": "abc"}, {"format": "opaque", "id": "stream-1"}, None),
        ("https://events.example/unheard-of", {}, None, None),
    ],
)
def test_each_event_revokes_what_the_table_says(
    store: Store, kind: str, payload: dict[str, Any], subject: Any, expected: Any
) -> None:
    sent = event(kind, {"event_timestamp": SECONDS - 5} | payload, sub_id=subject)
    assert taken(store, sent) == ([] if expected is None else [expected])
    assert [each.source for each in store.revocations()] == ([] if expected is None else ["transmitter idp"])


def test_whoever_has_several_names_is_revoked_under_each_of_ours(store: Store) -> None:
    listed = [{"format": "iss_sub", "iss": OTHER, "sub": "d"}, USER, {"format": "iss_sub", "iss": ISSUER, "sub": "dd"}]
    aliases = {"format": "aliases", "identifiers": listed}
    assert taken(store, event(sub_id=aliases)) == [(SUBJECT, "dora", BEFORE), (SUBJECT, "dd", BEFORE)]


def test_every_event_of_the_profiles_is_in_the_table() -> None:
    named = {
        *("session-revoked", "token-claims-change", "credential-change", "assurance-level-change"),
        *("device-compliance-change", "session-established", "session-presented", "risk-level-change"),
    }
    assert {CAEP + each for each in named} <= EFFECTS.keys()


def test_without_a_time_it_happened_when_the_event_was_issued(store: Store) -> None:
    assert taken(store, event(payload={})) == [(SUBJECT, "dora", NOW)]


def test_checklist_26_what_is_to_happen_in_the_future_happens_now(store: Store) -> None:
    assert taken(store, event(payload={"event_timestamp": SECONDS + 86_400})) == [(SUBJECT, "dora", NOW)]


def test_checklist_26_an_older_event_that_comes_later_moves_nothing_back(store: Store) -> None:
    late = event(payload={"event_timestamp": SECONDS - 500}, jti="e-2")
    assert taken(store, event(), late) == [(SUBJECT, "dora", BEFORE)]


# ------------------------------------------------------------------------------------------------------ what is refused


def test_checklist_26_a_forged_event_revokes_nothing(store: Store) -> None:
    impostor = Signer("ES256", "k1")
    assert refused(store, event(by=impostor)) == "authentication_failed"
    assert refused(store, event(by=Signer("ES256", "k2"))) == "invalid_key"
    head, _, tail = event().partition(b".")
    _, _, signature = tail.partition(b".")
    claims = {"iss": ISSUER, "aud": US, "jti": "e-9", "iat": SECONDS, "sub_id": USER, "events": {REVOKED: {}}}
    assert refused(store, b".".join([head, b64(json.dumps(claims).encode()).encode(), signature])) == (
        "authentication_failed"
    )


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS1", ""])
def test_checklist_26_an_event_that_names_another_algorithm_revokes_nothing(store: Store, algorithm: str) -> None:
    assert refused(store, event(header={"alg": algorithm})) == "invalid_key"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
def test_checklist_26_an_event_that_brings_its_own_key_along_revokes_nothing(store: Store, member: str) -> None:
    assert refused(store, event(header={member: signer().public if member == "jwk" else "x"})) == "invalid_request"


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", "secevent", "application/json"])
def test_checklist_26_another_kind_of_token_is_no_event(store: Store, typ: str | None) -> None:
    assert refused(store, event(header={"typ": typ})) == "invalid_request"


@pytest.mark.parametrize("aud", [None, "", OTHER, [], [OTHER], US + "/", {"a": US}, [US, 7]])
def test_checklist_26_an_event_for_somebody_else_revokes_nothing(store: Store, aud: Any) -> None:
    assert refused(store, event(aud=aud)) == "invalid_audience"


@pytest.mark.parametrize("iss", [None, "", OTHER, ISSUER + "/", [ISSUER], 7])
def test_checklist_26_an_event_of_another_issuer_revokes_nothing(store: Store, iss: Any) -> None:
    assert refused(store, event(iss=iss)) == "invalid_issuer"


@pytest.mark.parametrize(
    "changed",
    [
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"iat": None},
        {"iat": SECONDS + 31},
        {"iat": SECONDS - 604_801},
        {"iat": True},
        {"iat": str(SECONDS)},
        {"exp": SECONDS},
        {"exp": "never"},
        {"events": None},
        {"events": {}},
        {"events": []},
        {"events": {REVOKED: {}, CAEP + "credential-change": {}}},
        {"events": {REVOKED: None}},
        {"events": {REVOKED: []}},
        {"payload": {"event_timestamp": -1}},
        {"payload": {"event_timestamp": "now"}},
        {"payload": {"event_timestamp": True}},
        {"payload": {"event_timestamp": SECONDS * 1_000}},  # milliseconds
    ],
)
def test_an_event_that_is_not_well_formed_revokes_nothing(store: Store, changed: dict[str, Any]) -> None:
    assert refused(store, event(**changed)) == "invalid_request"


@pytest.mark.parametrize(
    "subject",
    [
        None,
        "dora",
        {},
        {"format": "email", "email": "dora@hospital.example"},
        {"format": "phone_number", "phone_number": "+1"},
        {"format": "iss_sub", "iss": ISSUER},
        {"format": "iss_sub", "iss": ISSUER, "sub": ""},
        {"format": "iss_sub", "iss": ISSUER, "sub": "Jose\u0301"},
        {"format": "aliases", "identifiers": [{"format": "email"}]},
        {"format": "complex", "user": {"format": "aliases", "identifiers": [USER, USER]}},
        {"format": "complex"},
        {"format": "complex", "device": {"format": "opaque", "id": "d-1"}},
        {"format": "complex", "user": {"format": "email", "email": "x"}, "session": SID},
        {"format": "complex", "user": USER, "session": {"format": "iss_sub", "iss": OTHER, "sub": "s-1"}},
        {"format": "complex", "user": "dora"},
        {"user": {"format": "jwt_id", "iss": ISSUER, "jti": "t-1"}},
    ],
)
def test_what_we_could_not_revoke_is_not_accepted(store: Store, subject: Any) -> None:
    assert refused(store, event(sub_id=subject)) == "invalid_request"


def test_a_transmitter_speaks_of_the_subjects_of_its_own_issuers_alone(store: Store) -> None:
    elsewhere = {"format": "iss_sub", "iss": OTHER, "sub": "dora"}
    assert refused(store, event(sub_id=elsewhere)) == "access_denied"
    both = transmitter(subjects=frozenset({ISSUER, OTHER}))
    assert refused(store, event(sub_id={"format": "opaque", "id": "dora"}), both) == "invalid_request"
    assert taken(store, event(sub_id=elsewhere), by=both) == [(SUBJECT, "dora", BEFORE)]
    assert store.revocations()[0].issuer == OTHER


# --------------------------------------------------------------------------------------------------------------- again


def test_checklist_26_an_event_that_comes_again_is_acknowledged_and_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    # RFC 8935 section 2: answered as the first time, since the transmitter may not have seen that answer.
    sent = event()
    before = taken(store, sent)
    restarted = Store(tmp_path / "state")
    assert taken(restarted, sent, now=NOW + 100 * SECOND) == before
    assert taken(restarted, event(by=signer()), now=NOW + 100 * SECOND) == before  # signed a second time


def test_checklist_26_a_jti_that_is_used_again_for_something_else_is_refused(store: Store, tmp_path: Path) -> None:
    before = taken(store, event())
    for restarted in (store, Store(tmp_path / "state")):
        with pytest.raises(EventRefused) as error:
            taken(restarted, event(sub_id={"format": "iss_sub", "iss": ISSUER, "sub": "nina"}))
        assert error.value.code == "invalid_request"
        assert taken(restarted) == before


def test_checklist_26_what_was_forgotten_is_too_old_to_come_again(store: Store) -> None:
    sent, week = event(), 604_800
    taken(store, sent)
    store.forget(NOW + (week + 3_600) * SECOND, week * SECOND)
    assert refused(store, sent, now=NOW + (week + 3_600) * SECOND) == "invalid_request"


# --------------------------------------------------------------------------------------------------- keys and secrets


def test_a_transmitter_with_a_secret_shows_it() -> None:
    receiver = Receiver([transmitter(secret=b"a-long-enough-secret")])
    assert receiver.known("idp", "Bearer a-long-enough-secret")
    assert not receiver.known("nobody", "Bearer a-long-enough-secret")
    for shown in ("", "Bearer", "Bearer wrong", "Basic a-long-enough-secret", "a-long-enough-secret", "Bearer \u00e9"):
        with pytest.raises(EventRefused) as error:
            receiver.known("idp", shown)
        assert (error.value.code, error.value.status) == ("authentication_failed", 401)


def test_keys_that_cannot_be_had_now_are_a_reason_to_come_again(store: Store, tmp_path: Path) -> None:
    away = transmitter(keys=KeySource(file=tmp_path / "keys.json"))
    with pytest.raises(EventRefused) as error:
        Receiver([away]).take("idp", event(), NOW, store)
    assert error.value.status == 503
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [signer().jwk()]}))
    assert taken(store, event(), by=away) == [(SUBJECT, "dora", BEFORE)]


def test_what_cannot_be_stored_is_not_acknowledged(store: Store) -> None:
    store._connection.execute("PRAGMA query_only=1")
    with pytest.raises(StoreError):
        taken(store, event())


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_an_event_or_refused(sent: bytes) -> None:
    class Nothing:
        def take_event(self, *_: object) -> bool:
            raise AssertionError

    with pytest.raises(EventRefused):
        Receiver([transmitter()]).take("idp", sent, NOW, Nothing())  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SUBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(["iss_sub", "opaque", "complex", "aliases", "jwt_id", "email"]) | JSON,
        "iss": st.just(ISSUER) | JSON,
        "sub": JSON,
        "id": JSON,
        "jti": JSON,
        "identifiers": JSON,
        "user": st.just(USER) | JSON,
        "session": st.just(SID) | JSON,
    },
)


@given(st.sampled_from([*EFFECTS, "x"]), JSON, SUBJECTS | JSON)
def test_whatever_a_transmitter_signs_revokes_or_is_refused(kind: str, payload: Any, subject: Any) -> None:
    kept: list[Revocation] = []

    class Kept:
        def take_event(self, *given: Any) -> bool:
            kept.extend(given[4])
            return True

    with suppress(EventRefused):
        Receiver([transmitter()]).take("idp", event(kind, payload, sub_id=subject), NOW, Kept())  # type: ignore[arg-type]
    assert all(each.issuer == ISSUER and each.value for each in kept)
    assert all(each.not_before == FOREVER or 0 < each.not_before <= NOW for each in kept)
