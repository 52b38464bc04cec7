"""What every forward-auth proxy has to withstand, with the configuration that we ship for it."""

from __future__ import annotations

import pytest

from tests.service.behind import ALLOWED, HOST, IDENTITY, SECRET, Behind, got, said

AMBIGUOUS = [
    "//fhir/Record/r1",
    "/fhir//Record/r1",
    "/fhir/Record//r1",
    "/fhir/Record/sealed/../r1",
    "/fhir/Record/./r1",
    "/x/../fhir/Record/r1",
    "/fhir/Record/%2e%2e/Record/r1",
    "/fhir/Record/.%2e/Record/r1",
    "/fhir%2FRecord%2Fr1",
    "/fhir/Record%2fr1",
    "/fhir/Record/sealed%2F..%2Fr1",
    "/fhir/Record/r1%5c..%5csealed",
    "/fhir\\Record\\r1",
    "/fhir/Record;x=1/r1",
    "/fhir/Record/r1;x=1",
    "/fhir/;/Record/r1",
    "/fhir/Record/..;/Record/r1",
    "/fhir/Record/%2572%2531",
    "/%2566hir/Record/r1",
    "/fhir/Record/r1%00",
    "/fhir/Record/r1%zz",
    "/fhir/Record/r1%",
    "/fhir/Record/%c0%af",
    "/fhir/Record/r1/",
    "/fhir/Record/r1%3Fx=1",
    "/fhir/Record/r1%23x",
    "/fhir/Record/r1#/../sealed",
    "/fhir/Record/sealed#/../r1",
    "/FHIR/Record/r1",
    "/fhir/Record/r1?a=1",
    "/fhir/Record/r1?a=1&a=2",
    "/fhir/Record/r1?a=1;b=2",
    "/fhir/Record/r1?_include=*",
    "/fhir/Record/$everything",
    "/fhir/Record/_search",
    "/fhir/Record/\xe9",
    "/forward-auth",
    "/live",
    "/ready",
    "/access/v1/evaluation",
    "*",
    "",
]
"""Every one of these is refused by the proxy or by Chaperone: none reaches the service."""

DENIED = [
    ("nina", "GET", "/fhir/Record/sealed", 403),
    ("nina", "PUT", "/fhir/Record/r1", 403),
    ("dora", "PUT", "/fhir/Record/sealed", 403),
    ("nobody", "GET", "/fhir/Record/r1", 403),
    (None, "GET", "/fhir/Record/r1", 401),
    ("nina,dora", "GET", "/fhir/Record/r1", 401),
    ("nina", "GET", "/elsewhere", 403),
    ("nina", "GET", "/", 403),
    ("nina", "HEAD", "/fhir/Record/r1", 403),
    ("nina", "OPTIONS", "/fhir/Record/r1", 403),
    ("nina", "PROPFIND", "/fhir/Record/r1", 403),
    ("nina", "DELETE", "/fhir/Record/r1", 403),
]

SPOOFED = [
    "X-Original-Method: GET",
    "X-Original-URI: /fhir/Record/r1",
    "X-Original-URL: /fhir/Record/r1",
    "X-Rewrite-URL: /fhir/Record/r1",
    "X-Original-Host: localhost",
    "X-Forwarded-Method: GET",
    "X-Forwarded-Uri: /fhir/Record/r1",
    "X-Forwarded-Host: localhost",
    "X-Forwarded-Proto: https",
    "X-Forwarded-For: 127.0.0.1",
    "X-Http-Method-Override: GET",
    "X_Forwarded_Uri: /fhir/Record/r1",
    "X_Original_URI: /fhir/Record/r1",
    "X.Forwarded.Uri: /fhir/Record/r1",
    "X-Pdp-Decision: allow",
    "X-Pdp-Subject: dora",
    f"X-Pdp-Secret: {SECRET}",
    "Connection: X-Original-URI, X-Forwarded-Uri, X-Original-Method, X-Forwarded-Method",
]
"""None of these makes a denied request an allowed one."""

FORGED = [
    "X-Pdp-Subject: dora",
    "x-pdp-subject: dora",
    "X_Pdp_Subject: dora",
    "X-Pdp_Subject: dora",
    "X.Pdp.Subject: dora",
    "X-PDP-FIELDS: {}",
    "X_Pdp_Fields: {}",
    "X-Pdp-Subject-Type: robot",
    "X_Pdp_Subject_Type: robot",
    "X_Pdp-Obligations: []",
    "X-Pdp-Secret: guess",
]
"""Copies of our identity headers: each is replaced or removed on the way to the service, or the request is refused."""

DROPPING = ["X-Pdp-Subject", "x-pdp-fields, close", "X-Pdp-Obligations", "X-Pdp-Subject-Type"]
"""Named in `Connection`: a proxy that obeys would take our headers off again."""


class Attacks:
    """Each proxy's test module makes a `Test..` class of this. `alone` is a `world` without Chaperone; `misled` has an
    impostor in its place.
    """

    # ------------------------------------------------------------------------------------------------- what is allowed

    def test_checklist_07_a_permitted_request_reaches_the_service_with_our_identity_headers(
        self, world: Behind
    ) -> None:
        answer = world.get("/fhir/Record/r1")
        assert answer.status == 200
        assert answer.told["line"].split()[:2] == ["GET", "/fhir/Record/r1"]
        assert got(answer, "x-pdp-subject") == ["nina"]
        assert got(answer, "x-pdp-subject-type") == ["user"]
        assert got(answer, "x-pdp-fields") == ["{}"]
        assert got(answer, "x-pdp-obligations") == ["[]"]
        (decision,) = got(answer, "x-pdp-decision")
        assert decision in {each["decision_id"] for each in world.server.records()}
        assert answer.headers.get_all("x-pdp-decision") == [decision]
        assert got(answer, "x-pdp-secret") == []
        assert SECRET not in str(answer.told)
        assert "Record" not in world.log.read_text(), "a target in a log"

    def test_a_port_in_the_host_is_no_other_host(self, world: Behind) -> None:
        assert world.raw("/fhir/Record/r1", "X-User: nina", f"Host: {HOST}:{world.port}").status == 200

    def test_an_encoded_target_reaches_the_service_as_it_was_sent(self, world: Behind) -> None:
        """It is decided about decoded: what the service gets must be the very same bytes."""
        answer = world.get("/fhir/Record/%721")
        assert answer.status == 200
        assert answer.told["line"].split()[1] == "/fhir/Record/%721"

    def test_a_body_reaches_the_service_and_not_chaperone(self, world: Behind) -> None:
        answer = world.get("/fhir/Record/r1", user="dora", method="PUT", body=b"a patient" * 1000)
        assert answer.status == 200
        assert answer.told["body"] == "a patient" * 1000

    def test_a_body_that_looks_like_a_request_changes_nothing(self, world: Behind) -> None:
        inner = b"GET /fhir/Record/r1 HTTP/1.1\r\nHost: ehr.example\r\nX-User: nina\r\n\r\n"
        world.untouched("/fhir/Record/sealed", "X-User: dora", method="PUT", body=inner)

    # -------------------------------------------------------------------------------------------------- what is denied

    @pytest.mark.parametrize(("user", "method", "target", "status"), DENIED)
    def test_checklist_05_everything_else_is_denied(
        self, world: Behind, user: str | None, method: str, target: str, status: int
    ) -> None:
        answer = world.untouched(target, *([f"X-User: {user}"] if user else []), method=method)
        assert answer.status == status
        assert answer.headers["x-pdp-decision"] in {each["decision_id"] for each in world.server.records()}
        assert b"readers-read" not in answer.body
        assert b"sealed-records" not in answer.body

    def test_a_401_says_how_to_become_known(self, world: Behind) -> None:
        assert world.untouched("/fhir/Record/r1").headers["www-authenticate"] == "Bearer"

    def test_the_user_given_twice_is_nobody(self, world: Behind) -> None:
        assert world.untouched("/fhir/Record/r1", "X-User: nina", "X-User: dora").status == 401

    @pytest.mark.parametrize("target", AMBIGUOUS)
    def test_checklist_10_no_spelling_of_a_path_gets_through(self, world: Behind, target: str) -> None:
        world.untouched(target, "X-User: nina")
        world.untouched(target, "X-User: dora", method="PUT")

    @pytest.mark.parametrize(
        "host", ["evil.example", "ehr.example.evil", "user@ehr.example", "ehr.example,evil", "ehr.example\r\nHost: b"]
    )
    def test_checklist_13_another_host_is_not_served_as_ours(self, world: Behind, host: str) -> None:
        answer = world.raw("/fhir/Record/r1", "X-User: nina", f"Host: {host}")
        assert answer.status >= 400

    def test_checklist_13_an_absolute_target_is_decided_about_as_it_is_served(self, world: Behind) -> None:
        before = len(world.service.seen)
        answer = world.raw(f"http://{HOST}/fhir/Record/r1", "X-User: nina", f"Host: {HOST}")
        if answer.status == 200:
            assert answer.told["line"].split()[1] in ("/fhir/Record/r1", f"http://{HOST}/fhir/Record/r1")
        else:
            assert len(world.service.seen) == before
        world.untouched(f"http://{HOST}/fhir/Record/sealed", "X-User: nina", "Host: evil.example")
        world.untouched("http://evil.example/fhir/Record/r1", "X-User: nina")
        world.untouched(f"http://{HOST}", "X-User: nina")
        world.untouched(f"http://{HOST}?/fhir/Record/r1", "X-User: nina")

    # ------------------------------------------------------------------------------------------------- what is claimed

    @pytest.mark.parametrize("line", SPOOFED)
    def test_checklist_16_what_a_client_says_of_the_request_opens_nothing(self, world: Behind, line: str) -> None:
        world.untouched("/fhir/Record/sealed", "X-User: nina", line)
        world.untouched("/fhir/Record/r1", "X-User: nina", line, method="PUT")
        world.untouched("/fhir/Record/sealed", "X-User: nina", line, line)

    @pytest.mark.parametrize("line", SPOOFED)
    def test_checklist_14_the_service_hears_no_other_method_or_target(self, world: Behind, line: str) -> None:
        name, _, value = line.partition(": ")
        answer = world.get("/fhir/Record/r1", f"{name}: {value.replace('r1', 'sealed').replace('GET', 'DELETE')}")
        if answer.status == 200 and name.lower() not in ("x-forwarded-for", "x-forwarded-proto", "connection"):
            assert "sealed" not in str(answer.told)
            assert "DELETE" not in str(answer.told)
            assert got(answer, "x-pdp-secret") == []

    @pytest.mark.parametrize("line", FORGED)
    def test_checklist_07_forged_identity_never_reaches_the_service(self, world: Behind, line: str) -> None:
        answer = world.get("/fhir/Record/r1", line)
        if answer.status == 200:
            for name in IDENTITY:
                assert len(got(answer, name)) == 1, name
            assert got(answer, "x-pdp-subject") == ["nina"]
            assert got(answer, "x-pdp-subject-type") == ["user"]
            assert got(answer, "x-pdp-secret") == []
        else:
            assert answer.status in (400, 403)

    @pytest.mark.parametrize("named", DROPPING)
    def test_checklist_07_no_client_takes_our_headers_off_again(self, world: Behind, named: str) -> None:
        answer = world.get("/fhir/Record/r1", f"Connection: {named}")
        if answer.status == 200:
            for name in IDENTITY:
                assert len(got(answer, name)) == 1, name
        else:
            assert answer.status in (400, 403)

    @pytest.mark.parametrize("line", ["Authorization: Bearer a", "Cookie: a=1"])
    def test_checklist_15_a_header_given_twice_reaches_chaperone_or_nobody(self, world: Behind, line: str) -> None:
        world.untouched("/fhir/Record/sealed", "X-User: nina", line, line)

    # ----------------------------------------------------------------------------------------------------- what is odd

    def test_checklist_31_big_headers_are_judged_or_refused(self, world: Behind) -> None:
        token = "Authorization: Bearer " + "t" * 6_000
        assert world.get("/fhir/Record/r1", token).status == 200
        world.untouched("/fhir/Record/r1", "X-User: nina", "Authorization: Bearer " + "t" * 70_000)
        world.untouched("/fhir/Record/" + "a" * 70_000, "X-User: nina")

    def test_checklist_31_more_headers_than_chaperone_takes_are_a_deny(self, world: Behind) -> None:
        world.untouched("/fhir/Record/r1", "X-User: nina", *(f"X-Filler-{number}: 1" for number in range(150)))

    def test_checklist_13_two_lengths_smuggle_nothing(self, world: Behind) -> None:
        inner = b"0\r\n\r\nGET /fhir/Record/sealed HTTP/1.1\r\nHost: ehr.example\r\nX-User: nina\r\nX: "
        before = len(world.service.seen)
        world.raw("/fhir/Record/r1", "X-User: dora", "Transfer-Encoding: chunked", method="PUT", body=inner)
        assert "sealed" not in str(world.service.seen[before:])
        lengths = ("Content-Length: 5", "Content-Length: 6")
        world.untouched("/fhir/Record/r1", "X-User: dora", *lengths, method="PUT")

    def test_checklist_17_a_spoofed_word_about_the_body_opens_nothing(self, world: Behind) -> None:
        world.untouched("/fhir/Record/sealed", "X-User: nina", "X-Envoy-Auth-Partial-Body: false")

    def test_an_upgrade_is_decided_about_like_anything_else(self, world: Behind) -> None:
        lines = (
            "X-User: nina",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        world.untouched("/fhir/Record/sealed", *lines, "Sec-WebSocket-Version: 13")

    def test_without_chaperone_nothing_gets_through(self, world: Behind, alone: Behind) -> None:
        for user, target in (("nina", "/fhir/Record/r1"), ("nina", "/fhir/Record/sealed"), ("dora", "/fhir/Record/r1")):
            assert alone.untouched(target, f"X-User: {user}").status in (500, 502, 503, 504)
        assert "Record" not in alone.log.read_text(), "a target in a log"
        assert world.get("/fhir/Record/r1").status == 200

    @pytest.mark.parametrize(
        "answer",
        [
            said("500 Oops", *ALLOWED),
            said("503 Away", *ALLOWED),
            said("302 Found", *ALLOWED, "Location: /"),
            said("404 Not Found", *ALLOWED),
            b"HTTP/1.1 \r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        ],
    )
    def test_an_odd_answer_opens_nothing(self, misled: Behind, answer: bytes) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = answer
        before = len(misled.service.seen)
        assert misled.get("/fhir/Record/r1").status != 200
        assert len(misled.service.seen) == before

    def test_an_answer_that_never_comes_opens_nothing(self, misled: Behind) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = b""
        assert misled.untouched("/fhir/Record/r1", "X-User: nina").status in (500, 502, 503, 504)
