"""The keys of an issuer: which are used, when they are fetched, and when they stop to count."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdp.identity.caller import Caller, Evidence, Unknown, Waiting
from pdp.identity.fetch import MAX_AT_ONCE, Wire, discovered_source, permitted, url_source
from pdp.identity.identify import Identify
from pdp.identity.issuer import Access, KeySource
from pdp.identity.jwk import KeyRefused, key
from pdp.identity.keys import MAX_JOINING, Busy, Keys, SourceError, file_source, key_set
from tests.unit.identity.provider import Provider, providing
from tests.unit.identity.tokens import ISSUER, NOW, SECOND, b64, issuer, signer, token

HOUR = 3_600 * SECOND


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [signer("ES256", kid).jwk() for kid in kids]}).encode()


class Published:
    """A source in memory that can fail, and counts."""

    def __init__(self, *kids: str) -> None:
        self.kids, self.fetches, self.down = kids, 0, False

    def __call__(self) -> bytes:
        self.fetches += 1
        if self.down:
            raise SourceError("connection refused")
        return jwks(*self.kids)


def settled(keys: Keys, kid: str, now: int) -> str:
    """The outcome for a token with this key id, as a door would get it: one `Waiting` is worked off."""
    header = {"alg": "ES256", "kid": kid}
    for _ in range(2):
        try:
            return keys.find(header, now)[0].kid
        except Waiting as waiting:
            waiting.work()
        except Unknown as unknown:
            return unknown.kind
    return "waiting twice"


def test_checklist_24_keys_are_fetched_once_and_kept() -> None:
    source = Published("k1")
    keys = Keys(source)
    assert [settled(keys, "k1", NOW + second * SECOND) for second in range(299)] == ["k1"] * 299
    assert source.fetches == 1


def test_checklist_20_a_storm_of_unknown_kids_costs_one_fetch() -> None:
    source = Published("k1")
    keys = Keys(source, cooldown_seconds=30)
    assert settled(keys, "k1", NOW) == "k1"
    for number in range(500):
        assert settled(keys, f"made-up-{number}", NOW + 40 * SECOND + number) == "unknown-key"
    assert source.fetches == 2
    assert settled(keys, "another", NOW + 71 * SECOND) == "unknown-key"
    assert source.fetches == 3
    assert settled(keys, "k1", NOW + 71 * SECOND) == "k1"


def test_checklist_20_a_storm_right_after_the_start_costs_one_fetch() -> None:
    source = Published("k1")
    keys = Keys(source)
    assert settled(keys, "k1", NOW) == "k1"
    for number in range(100):
        assert settled(keys, f"made-up-{number}", NOW + number + 1) == "unknown-key"
    assert source.fetches == 2


def test_checklist_24_keys_that_rotate_right_after_a_refresh_are_found() -> None:
    source = Published("k1")
    keys = Keys(source)
    assert settled(keys, "k1", NOW) == "k1"
    source.kids = ("k2",)
    assert settled(keys, "k2", NOW + 1) == "k2"
    source.kids = ("k3",)
    assert settled(keys, "k3", NOW + 5 * SECOND) == "unknown-key"
    assert settled(keys, "k3", NOW + 31 * SECOND) == "k3"


def test_checklist_24_a_new_key_is_found_at_once_and_a_removed_one_is_gone() -> None:
    source = Published("k1")
    keys = Keys(source, cooldown_seconds=30)
    assert settled(keys, "k1", NOW) == "k1"
    source.kids = ("k2",)
    later = NOW + 31 * SECOND
    assert settled(keys, "k2", later) == "k2"
    assert settled(keys, "k1", later) == "unknown-key"  # Sets are never merged.


def test_checklist_24_a_removed_key_is_gone_after_a_refresh_by_age() -> None:
    source = Published("k1", "k2")
    keys = Keys(source, refresh_seconds=300)
    assert settled(keys, "k1", NOW) == "k1"
    source.kids = ("k2",)
    assert settled(keys, "k1", NOW + 299 * SECOND) == "k1"
    assert settled(keys, "k1", NOW + 300 * SECOND) == "unknown-key"
    source.down = True
    assert settled(keys, "k1", NOW + 700 * SECOND) == "unknown-key"  # An outage does not bring it back.


def test_checklist_24_an_empty_set_removes_every_key() -> None:
    source = Published("k1")
    keys = Keys(source)
    assert settled(keys, "k1", NOW) == "k1"
    source.kids = ()
    assert settled(keys, "k1", NOW + 400 * SECOND) == "unknown-key"


def test_checklist_24_an_outage_keeps_the_keys_for_a_bounded_time() -> None:
    source = Published("k1")
    keys = Keys(source, refresh_seconds=300, cooldown_seconds=30, keep_seconds=86_400)
    assert settled(keys, "k1", NOW) == "k1"
    source.down = True
    assert settled(keys, "k1", NOW + HOUR) == "k1"
    assert keys.stale(NOW + HOUR)
    assert settled(keys, "k1", NOW + 24 * HOUR - 1) == "k1"
    assert settled(keys, "k1", NOW + 24 * HOUR) == "keys-unavailable"
    source.down = False
    assert settled(keys, "k1", NOW + 24 * HOUR + 30 * SECOND) == "k1"
    assert not keys.stale(NOW + 24 * HOUR + 30 * SECOND)


def test_checklist_24_an_outage_is_asked_about_once_in_a_cooldown() -> None:
    source = Published("k1")
    keys = Keys(source, refresh_seconds=300, cooldown_seconds=30)
    assert settled(keys, "k1", NOW) == "k1"
    source.down, source.fetches = True, 0
    for second in range(300, 360):
        assert settled(keys, "k1", NOW + second * SECOND) == "k1"
    assert source.fetches == 2


def test_checklist_24_without_any_key_nobody_is_let_in_until_there_is_one() -> None:
    source = Published("k1")
    source.down = True
    keys = Keys(source)
    assert settled(keys, "k1", NOW) == "keys-unavailable"
    assert settled(keys, "k1", NOW + SECOND) == "keys-unavailable"
    assert source.fetches == 1
    source.down = False
    assert settled(keys, "k1", NOW + 5 * SECOND) == "k1"


def test_keys_outlive_a_clock_that_steps_back_for_no_longer() -> None:
    source = Published("k1")
    keys = Keys(source)
    assert settled(keys, "k1", NOW) == "k1"
    source.down = True
    assert settled(keys, "k1", NOW - 25 * HOUR) == "keys-unavailable"


def test_while_one_request_refreshes_the_others_use_what_there_is() -> None:
    source = Published("k1")
    keys = Keys(source)
    settled(keys, "k1", NOW)
    later = NOW + 301 * SECOND
    with pytest.raises(Waiting):
        keys.current(later)
    assert keys.current(later).keys[0].kid == "k1"
    assert source.fetches == 1


def test_requests_that_need_the_same_fetch_wait_for_it_together_but_not_all_of_them() -> None:
    started, go = threading.Event(), threading.Event()

    def slow() -> bytes:
        started.set()
        assert go.wait(10)
        return jwks("k1")

    keys = Keys(slow)
    waits = []
    for number in range(MAX_JOINING):
        with pytest.raises(Waiting) as waiting:
            keys.current(NOW + number)
        waits.append(waiting.value)
    with pytest.raises(Unknown, match="keys-unavailable"):
        keys.current(NOW + MAX_JOINING)
    threads = [threading.Thread(target=each.work) for each in waits]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert keys.fetches == 1
    assert keys.current(NOW).keys[0].kid == "k1"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":1}',
        b"\xef\xbb\xbf{}",
        b'{"keys":[],"keys":[]}',
        b"<html>",
        b"{" * 99,
    ],
)
def test_checklist_24_an_answer_that_is_no_key_set_changes_nothing(document: bytes) -> None:
    with pytest.raises(SourceError):
        key_set(document)
    answers = [jwks("k1"), document]
    keys = Keys(lambda: answers.pop(0))
    assert settled(keys, "k1", NOW) == "k1"
    assert settled(keys, "k1", NOW + 400 * SECOND) == "k1"
    assert keys.problem


# --------------------------------------------------------------------------------------------------------- single keys


def refusal(jwk: object) -> str:
    with pytest.raises(KeyRefused) as refused:
        key(jwk)
    return str(refused.value)


def test_checklist_22_private_and_symmetric_keys_are_refused() -> None:
    good = signer().jwk()
    for private in ({"d": "AAAA"}, {"k": "AAAA"}, {"p": "AAAA"}, {"oth": []}):
        assert "private" in refusal({**good, **private})
    assert "private" in refusal({"kty": "oct", "k": "AAAA"})


def test_checklist_24_a_private_key_that_was_published_is_used_no_more() -> None:
    document = json.dumps({"keys": [signer().jwk(d="AAAA"), signer("ES256", "k2").jwk()]}).encode()
    found = key_set(document)
    assert [each.kid for each in found.keys] == ["k2"]
    assert found.skipped == ("a private or symmetric key",)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"kty": None},
        {"x": "AAAA"},
        {"x": b64(b"\0" * 33)},
        {"x": b64(b"\1" * 32)},
        {"x": signer().public["x"] + "="},
        {"x": "A" * 42 + "B"},
        {"x": 7},
        {"kid": 7},
        {"kid": "k" * 257},
        {"use": "enc"},
        {"use": 7},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "ES512"},
        {"alg": ["ES256"]},
    ],
)
def test_a_key_that_is_not_one_is_refused(change: dict[str, Any]) -> None:
    assert refusal({**signer().jwk(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"n": b64(b"\xff" * 128)},
        {"n": b64(b"\xff" * 2_000)},
        {"e": b64(b"\1")},
        {"e": b64(b"\2")},
        {"e": b64(b"\xff" * 64)},
        {"n": ""},
        {"n": "A" * 5_000},
        {"alg": "ES256"},
    ],
)
def test_an_rsa_key_that_is_weak_or_costly_is_refused(change: dict[str, Any]) -> None:
    assert refusal({**signer("RS256").jwk(), **change})


@pytest.mark.parametrize("given", [None, 7, "k", [], {}, {"kty": "EC"}, {"kty": "RSA"}])
def test_what_is_no_key_is_refused(given: object) -> None:
    assert refusal(given)


def test_a_key_has_one_spelling() -> None:
    """The bits that are left over in the last character are zero, or the same key had several thumbprints."""
    public = signer().public
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(public["x"][-1])
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    assert "Base64url" in refusal({**public, "x": public["x"][:-1] + other})


def test_thumbprints_are_those_of_rfc_7638() -> None:
    example = {  # Section 3.1 of it
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
        "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0z"
        "gdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCu"
        "r-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert key(example).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert key(signer().jwk()).thumbprint == signer().thumbprint


# --------------------------------------------------------------------------------------------------------------- files


def test_checklist_24_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("k1"))
    by = Identify([replace(issuer(), keys=KeySource(file=file))])
    assert ask(by, token(), NOW).subject_id == "dora"
    file.write_bytes(jwks("k2"))
    assert ask(by, token(signer("ES256", "k2")), NOW + 2 * SECOND).subject_id == "dora"
    with pytest.raises(Unknown, match="unknown-key"):
        ask(by, token(), NOW + 2 * SECOND)  # Also though this very token was verified before.
    file.unlink()
    found = ask(by, token(signer("ES256", "k2")), NOW + 10 * SECOND)
    assert found.warnings == ("stale-keys",)


def test_a_huge_key_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b" " * 300_000)
    with pytest.raises(SourceError, match="larger"):
        file_source(file)()


def ask(by: Identify, given: bytes, now: int) -> Caller:
    evidence = Evidence((b"Bearer " + given,))
    try:
        return by.caller(evidence, ("token",), None, now)
    except Waiting as waiting:
        waiting.work()
        return by.caller(evidence, ("token",), None, now)


# ------------------------------------------------------------------------------------------------------------ over HTTP


def wire(milliseconds: int = 2_000, **settings: Any) -> Wire:
    return Wire(Access(timeout_milliseconds=milliseconds, **settings))


def test_checklist_24_keys_by_url_rotate_while_requests_go_on_and_survive_an_outage() -> None:
    with providing() as provider:
        provider.answers["/jwks"] = jwks("k1")
        by = Identify([replace(issuer(), keys=KeySource(url=provider.url + "/jwks"))])
        assert ask(by, token(), NOW).subject_id == "dora"
        provider.answers["/jwks"] = jwks("k1", "k2")
        later = NOW + 31 * SECOND
        assert ask(by, token(signer("ES256", "k2")), later).subject_id == "dora"
        assert ask(by, token(), later).subject_id == "dora"
        assert len(provider.asked) == 2
    assert ask(by, token(exp=NOW // SECOND + 9_000), NOW + HOUR).warnings == ("stale-keys",)


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b""),
        (204, {}, b""),
        (302, {"Location": "/elsewhere"}, b""),
        (200, {"Content-Encoding": "gzip"}, b"x"),
        b"x" * 300_000,
        (200, {"Content-Length": "99"}, b"short"),
    ],
)
def test_checklist_24_other_answers_than_a_small_200_are_none(answer: Any) -> None:
    with providing() as provider:
        provider.answers |= {"/jwks": answer, "/elsewhere": jwks("k1")}
        with pytest.raises(SourceError):
            wire().get(provider.url + "/jwks")
        assert len(provider.asked) == 1


@pytest.mark.parametrize("answer", ["drip", "hang"])
def test_checklist_24_a_slow_provider_costs_its_time_limit_and_no_more(answer: str) -> None:
    with providing() as provider:
        provider.answers["/jwks"] = answer
        with pytest.raises(SourceError, match=r"no answer in time|Timeout"):
            wire(150).get(provider.url + "/jwks")


def test_exchanges_at_once_are_bounded() -> None:
    with providing() as provider:
        reached = threading.Semaphore(0)

        def hang(form: object) -> str:
            reached.release()
            return "hang"

        provider.answers["/jwks"] = hang
        one, ended = wire(10_000), []

        def get() -> None:
            with pytest.raises(SourceError):
                one.get(provider.url + "/jwks")
            ended.append(True)

        threads = [threading.Thread(target=get) for _ in range(MAX_AT_ONCE)]
        for thread in threads:
            thread.start()
        assert all(reached.acquire(timeout=10) for _ in threads)
        with pytest.raises(Busy):
            one.get(provider.url + "/jwks")
        provider.release.set()
        for thread in threads:
            thread.join(10)
        assert len(ended) == MAX_AT_ONCE


def test_no_cookie_is_kept_and_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with providing() as provider:
        provider.answers["/jwks"] = (200, {"Set-Cookie": "a=b"}, b"{}")
        one = wire()
        assert one.get(provider.url + "/jwks") == one.get(provider.url + "/jwks") == b"{}"
        assert all("Cookie" not in headers for _, headers, _ in provider.asked)


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://user@127.0.0.1/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https:///jwks",
        "https://idp.example/jwks#x",
        "https://idp.example/j wks",
        "https://idp.example:x/jwks",
        "//idp.example",
        "",
    ],
)
def test_keys_come_by_https_or_from_this_machine(url: str) -> None:
    assert not permitted(url)
    with pytest.raises(SourceError, match="neither https nor this machine"):
        wire().get(url)


@pytest.mark.parametrize(
    "url", ["https://idp.example/jwks?p=a", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x"]
)
def test_where_keys_may_come_from(url: str) -> None:
    assert permitted(url)


# ------------------------------------------------------------------------------------------------------------ discovery


def discovery(provider: Provider, **changed: Any) -> dict[str, Any]:
    return {"issuer": provider.url, "jwks_uri": provider.url + "/jwks", **changed}


def test_metadata_names_the_keys() -> None:
    for place in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        with providing() as provider:
            provider.answers |= {place: discovery(provider), "/jwks": jwks("k1")}
            assert discovered_source(wire(), provider.url)() == jwks("k1")


@pytest.mark.parametrize(
    "change", [{"issuer": ISSUER}, {"issuer": None}, {"jwks_uri": "http://idp.example/jwks"}, {"jwks_uri": 7}]
)
def test_metadata_of_another_issuer_or_with_unsafe_keys_are_none(change: dict[str, Any]) -> None:
    with providing() as provider:
        provider.answers |= {
            "/.well-known/openid-configuration": discovery(provider, **change),
            "/jwks": jwks("k1"),
        }
        with pytest.raises(SourceError):
            discovered_source(wire(), provider.url)()
        assert url_source(wire(), provider.url + "/jwks")() == jwks("k1")
