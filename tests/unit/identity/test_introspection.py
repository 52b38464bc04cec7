"""Opaque tokens: what their issuer says counts for seconds, and where it says nothing nobody is let in."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from pdp.identity.caller import Caller, Evidence, Unknown, Waiting
from pdp.identity.identify import Identify
from pdp.identity.introspection import Introspected
from pdp.identity.issuer import Access, Introspection, Issuer, KeySource
from pdp.identity.keys import Busy, SourceError
from tests.unit.identity.provider import Provider, providing
from tests.unit.identity.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    NOW_SECONDS,
    SECOND,
    certificate,
    issuer,
    signer,
    token,
    x5t,
)

OPAQUE = b"Zm9v~opaque.token-1"


def active(**changed: Any) -> dict[str, Any]:
    good = {"active": True, "sub": "dora", "aud": AUDIENCE, "client_id": "portal", "exp": NOW_SECONDS + 300}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def opaque(provider: Provider, **settings: Any) -> Issuer:
    how = Introspection(provider.url + "/introspect", "chaperone", b"a secret/with:odd+marks", 30)
    usual: dict[str, Any] = {"kind": "opaque", "introspection": how, "access": Access(timeout_milliseconds=1_000)}
    return Issuer("opaque", ISSUER, frozenset({AUDIENCE}), **{**usual, **settings})


def ask(by: Identify, given: bytes = OPAQUE, now: int = NOW, **evidence: Any) -> Caller:
    shown = Evidence((b"Bearer " + given,), **evidence)
    try:
        return by.caller(shown, ("token",), None, now)
    except Waiting as waiting:
        waiting.work()
        return by.caller(shown, ("token",), None, now)


def why(*args: Any, **named: Any) -> str:
    with pytest.raises(Unknown) as refused:
        ask(*args, **named)
    return refused.value.kind


def test_an_active_token_names_its_subject_and_the_issuer_is_asked_once() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        by = Identify([opaque(provider)])
        for second in range(30):
            found = ask(by, now=NOW + second * SECOND)
            assert (found.subject_id, found.client, found.expires) == ("dora", "portal", NOW + 30 * SECOND)
        assert len(provider.asked) == 1
        assert ask(by, now=NOW + 30 * SECOND)
        assert len(provider.asked) == 2


def test_the_client_proves_itself_with_its_secret() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        ask(Identify([opaque(provider)]))
        ((_, headers, form),) = provider.asked
        given = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        assert given == "chaperone:a+secret%2Fwith%3Aodd%2Bmarks"
        assert form == {"token": [OPAQUE.decode()], "token_type_hint": ["access_token"]}


def test_a_client_with_a_certificate_names_itself_in_the_form() -> None:
    asked: list[tuple[Mapping[str, str], object]] = []

    class Recorded:
        def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
            asked.append((form, basic))
            return json.dumps(active()).encode()

    how = Introspection("https://idp.hospital.example/introspect", "chaperone")
    introspected = Introspected(issuer(kind="opaque"), how, Recorded())
    with pytest.raises(Waiting) as waiting:
        introspected.claims(OPAQUE, b"d", NOW)
    waiting.value.work()
    assert introspected.claims(OPAQUE, b"d", NOW)[0]["sub"] == "dora"
    assert asked == [({"token": OPAQUE.decode(), "token_type_hint": "access_token", "client_id": "chaperone"}, None)]


@pytest.mark.parametrize("said", ["true", 1, "yes", [True], {"active": True}, False, None, "True"])
def test_checklist_24_active_is_literally_true(said: Any) -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(active=said)
        assert why(Identify([opaque(provider)])) == "inactive"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"aud": "https://billing.example"}, "wrong-audience"),
        ({"aud": None}, "wrong-audience"),
        ({"iss": "https://evil.example"}, "wrong-issuer"),
        ({"iss": 7}, "wrong-issuer"),
        ({"typ": "Refresh"}, "wrong-type"),
        ({"typ": "Offline"}, "wrong-type"),
        ({"token_use": "refresh"}, "wrong-type"),
        ({"token_use": "id"}, "wrong-type"),
        ({"exp": NOW_SECONDS}, "expired"),
        ({"exp": "tomorrow"}, "malformed-claims"),
        ({"nbf": NOW_SECONDS + 60}, "not-yet-valid"),
        ({"iat": NOW_SECONDS - 90_000}, "lifetime"),
        ({"sub": None}, "missing-claim"),
        ({"sub": ""}, "malformed-claims"),
        ({"cnf": {"kid": "x"}}, "unknown-confirmation"),
        ({"cnf": {"x5t#S256": "a" * 43}}, "certificate-missing"),
    ],
)
def test_checklist_24_what_an_issuer_says_is_checked(changed: dict[str, Any], kind: str) -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(**changed)
        assert why(Identify([opaque(provider)])) == kind


@pytest.mark.parametrize("answer", [b"", b"null", b"[]", b'{"active":true,"active":true}', b"\xff", b'{"active":NaN}'])
def test_checklist_24_an_answer_that_is_none_lets_nobody_in(answer: bytes) -> None:
    with providing() as provider:
        provider.answers["/introspect"] = answer
        assert why(Identify([opaque(provider)])) in ("malformed-introspection", "inactive")


def test_an_opaque_token_has_a_bound_of_its_own() -> None:
    with providing() as provider:
        by = Identify([opaque(provider, max_token_bytes=600)])
        assert why(by, b"x" * 601) == "token-too-long"
        assert provider.asked == []


def test_an_answer_holds_no_longer_than_the_token() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(exp=NOW_SECONDS + 7)
        by = Identify([opaque(provider)])
        assert ask(by).expires == NOW + 7 * SECOND
        assert why(by, now=NOW + 7 * SECOND) == "expired"


def test_a_token_without_an_end_is_asked_about_again() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(exp=None)
        by = Identify([opaque(provider)])
        assert ask(by).expires == NOW + 30 * SECOND
        provider.answers["/introspect"] = {"active": False}
        assert why(by, now=NOW + 30 * SECOND) == "inactive"


def test_checklist_24_a_refusal_is_kept_only_briefly() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = {"active": False}
        by = Identify([opaque(provider)])
        for millisecond in range(0, 5_000, 100):
            assert why(by, now=NOW + millisecond * 1_000) == "inactive"
        assert len(provider.asked) == 1
        provider.answers["/introspect"] = active()
        assert ask(by, now=NOW + 5 * SECOND).subject_id == "dora"


def test_checklist_24_an_outage_refuses_and_is_asked_about_now_and_then() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = (503, {}, b"")
        by = Identify([opaque(provider)])
        for number in range(20):
            assert why(by, OPAQUE + b"%d" % number) == "introspection-unavailable"
        assert len(provider.asked) == 1
        provider.answers["/introspect"] = active()
        assert ask(by, now=NOW + 4 * SECOND).subject_id == "dora"
    assert ask(by, now=NOW + 33 * SECOND).subject_id == "dora"  # known, so the outage does not matter yet
    assert why(by, now=NOW + 34 * SECOND) == "introspection-unavailable"


def test_checklist_24_a_hanging_issuer_refuses_in_time() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = "hang"
        by = Identify([opaque(provider, access=Access(timeout_milliseconds=100))])
        assert why(by) == "introspection-unavailable"


def test_who_hangs_for_longer_than_a_silence_is_silent_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    clock = iter((0.0, 3.0))
    monkeypatch.setattr("pdp.identity.introspection.monotonic", lambda: next(clock))

    class Hanging:
        def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
            asked.append(form)
            raise SourceError("no answer in time")

    how = Introspection("https://idp.hospital.example/introspect", "chaperone", b"secret")
    introspected = Introspected(issuer(kind="opaque"), how, Hanging())
    waiting = []
    for number in range(100):
        with pytest.raises(Waiting) as raised:
            introspected.claims(OPAQUE, b"%d" % number, NOW)
        waiting.append(raised.value)
    for each in waiting:
        each.work()
    assert len(asked) == 1, "whoever waited behind the one that failed does not ask once more"
    with pytest.raises(Unknown, match="introspection-unavailable"):
        introspected.claims(OPAQUE, b"late", NOW + 4 * SECOND)
    with pytest.raises(Waiting):
        introspected.claims(OPAQUE, b"later", NOW + 5 * SECOND)


def test_a_bound_opaque_token_needs_its_certificate() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(cnf={"x5t#S256": x5t(certificate())})
        by = Identify([opaque(provider)])
        assert ask(by, certificate=certificate()).subject_id == "dora"
        assert why(by) == "certificate-missing"


def test_what_looks_like_a_jwt_is_never_shown_to_an_issuer_of_opaque_tokens() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        jwts = issuer(signer())
        other = opaque(provider)
        both = Identify(
            [jwts, Issuer("opaque", "https://o.example", other.audiences, "opaque", introspection=other.introspection)]
        )
        for bad in (token(exp=1), token(header={"kid": "x"}), token(iss="https://nobody.example"), b"eyJ.eyJ.x"):
            with pytest.raises(Unknown):
                both.caller(Evidence((b"Bearer " + bad,)), ("token",), None, NOW)
        assert provider.asked == []
        assert ask(both).issuer == "https://o.example"


def test_a_jwt_of_an_issuer_that_wants_to_be_asked_is_asked_about() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active(sub="from-the-issuer")
        assert ask(Identify([opaque(provider)]), token(signer("ES256", "evil"))).subject_id == "from-the-issuer"


def test_a_jwt_of_a_provider_that_signs_is_verified_even_where_it_could_be_asked() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        by = Identify([issuer(signer()), opaque(provider)])
        assert by.caller(Evidence((b"Bearer " + token(),)), ("token",), None, NOW).token_id == "t-1"
        assert why(by, token(signer("ES256", "evil"))) == "unknown-key"
        assert provider.asked == []
        assert ask(by).token_id == ""


def test_two_issuers_of_opaque_tokens_are_told_apart_by_the_profile() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        one = opaque(provider)
        two = Issuer(
            "two", "https://two.example", one.audiences, "opaque", introspection=one.introspection, keys=KeySource()
        )
        by = Identify([one, two])
        shown = Evidence((b"Bearer " + OPAQUE,))
        with pytest.raises(Unknown, match="ambiguous-issuer"):
            by.caller(shown, ("token",), None, NOW)
        with pytest.raises(Waiting) as waiting:
            by.caller(shown, ("token",), frozenset({"two"}), NOW)
        waiting.value.work()
        assert by.caller(shown, ("token",), frozenset({"two"}), NOW).issuer == "https://two.example"
        with pytest.raises(Unknown, match="malformed-token"):
            by.caller(shown, ("token",), frozenset({"three"}), NOW)


def test_our_own_bound_on_exchanges_says_nothing_about_the_issuer() -> None:
    answers: list[Exception | None] = [Busy(), None]

    class Crowded:
        def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
            answer = answers.pop(0)
            if answer is not None:
                raise answer
            return json.dumps(active()).encode()

    how = Introspection("https://idp.hospital.example/introspect", "chaperone")
    introspected = Introspected(issuer(kind="opaque"), how, Crowded())
    for _ in answers.copy():
        with pytest.raises(Waiting) as waiting:
            introspected.claims(OPAQUE, b"d", NOW)
        waiting.value.work()
    assert introspected.claims(OPAQUE, b"d", NOW)[0]["sub"] == "dora"


def test_a_token_that_was_asked_about_meanwhile_is_not_asked_about_again() -> None:
    with providing() as provider:
        provider.answers["/introspect"] = active()
        by = Identify([opaque(provider)])
        works = []
        for _ in range(3):
            with pytest.raises(Waiting) as waiting:
                by.caller(Evidence((b"Bearer " + OPAQUE,)), ("token",), None, NOW)
            works.append(waiting.value.work)
        for work in works:
            work()
        assert len(provider.asked) == 1
