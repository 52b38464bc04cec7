"""What the demo asks, and what must come back. `rules` and `reason` are those of the record in the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Question:
    """Through a listener: method, path and user, and the status that the client must see."""

    through: str  # "plain" or "gateway"
    user: str
    method: str
    path: str
    status: int
    reason: str  # of the record; "" where the request must not even reach Chaperone
    rules: tuple[str, ...] = ()
    why: str = ""
    without: tuple[str, ...] = ()  # members that the body must not hold
    headers: dict[str, str] = field(default_factory=dict)
    lasts: int = 3_600  # seconds until the access token ends
    forged: bool = False  # signed by somebody else


@dataclass(frozen=True, slots=True)
class Evaluation:
    """At the AuthZEN door, as an application asks."""

    subject: tuple[str, str]
    action: str
    resource: tuple[str, str]
    allowed: bool
    reason: str
    rules: tuple[str, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)
    why: str = ""


RECORD = "/fhir/Patient/pat-100/Record/rec-1001"

QUESTIONS = (
    Question("plain", "dr-osei", "GET", RECORD, 200, "permitted", ("clinical-view",), "treats the patient"),
    Question("plain", "dr-lindqvist", "GET", RECORD, 403, "no_rule", (), "treats other patients"),
    Question("plain", "", "GET", RECORD, 401, "unauthenticated", (), "says nobody"),
    Question("plain", "dr-osei", "GET", RECORD, 401, "unauthenticated", (), "a token that has ended", lasts=-60),
    Question("plain", "dr-osei", "GET", RECORD, 401, "unauthenticated", (), "a forged token", forged=True),
    Question("plain", "mallory", "GET", RECORD, 403, "forbidden", why="nobody knows this person"),
    Question("plain", "dr-miller", "GET", RECORD, 403, "forbidden", ("left-the-workforce",), "has left the hospital"),
    Question("plain", "dr-moreau", "GET", RECORD, 200, "permitted", ("physician-on-call",), "is on call"),
    Question(
        "plain",
        "trainee-park",
        "GET",
        RECORD,
        403,
        "unsupported_obligation",
        why="may read the summary, but a plain Envoy passes all or nothing",
    ),
    Question(
        "gateway",
        "trainee-park",
        "GET",
        RECORD,
        200,
        "permitted",
        ("clinical-view",),
        "the same, where fields can be left out",
        without=("note", "procedure"),
    ),
    Question(
        "plain",
        "dr-osei",
        "GET",
        "/fhir/Patient/pat-400/Record/rec-1001",
        403,
        "forbidden",
        why="the path says it is another patient's record: nothing is proven",
    ),
    Question(
        "plain",
        "dr-osei",
        "GET",
        "/fhir/Patient/pat-100",
        403,
        "unsupported_obligation",
        why="the social security number must be left out",
    ),
    Question(
        "gateway",
        "dr-osei",
        "GET",
        "/fhir/Patient/pat-100",
        200,
        "permitted",
        why="and here it is",
        without=("ssn",),
    ),
    Question(
        "plain",
        "nurse-adeyemi",
        "GET",
        "/fhir/Observation/obs-1001",
        200,
        "permitted",
        ("nurse-of-the-unit",),
        "the patient lies on the nurse's unit",
    ),
    Question("plain", "nurse-romano", "GET", "/fhir/Observation/obs-1001", 403, "no_rule", (), "works on another unit"),
    Question(
        "plain",
        "nurse-kowalski",
        "GET",
        "/fhir/Observation/obs-1001",
        403,
        "forbidden",
        ("training-expired",),
        "has let the privacy training lapse",
    ),
    Question(
        "plain",
        "dr-osei",
        "GET",
        "/fhir/Record/rec-3001",
        403,
        "forbidden",
        ("substance-use-needs-consent",),
        "42 CFR Part 2: no purpose was stated",
    ),
    Question(
        "gateway",
        "dr-osei",
        "GET",
        "/fhir/Record/rec-3001",
        200,
        "permitted",
        ("clinical-view",),
        "the patient consented to treatment",
    ),
    Question(
        "plain",
        "dr-osei",
        "GET",
        "/fhir/PsychotherapyNote/note-1001",
        403,
        "forbidden",
        ("psychotherapy-notes-stay-with-their-author",),
        "did not write the note",
    ),
    Question(
        "plain",
        "dr-haddad",
        "PUT",
        "/fhir/PsychotherapyNote/note-1001",
        200,
        "permitted",
        ("therapist-keeps-notes",),
        "wrote the note",
    ),
    Question(
        "plain",
        "dr-osei",
        "POST",
        "/fhir/Patient/pat-100/Record",
        201,
        "permitted",
        ("document-the-treatment",),
        "documents the treatment",
    ),
    Question(
        "plain", "trainee-park", "POST", "/fhir/Patient/pat-100/Record", 403, "no_rule", (), "is still in training"
    ),
    Question("plain", "dr-osei", "DELETE", RECORD, 403, "no_route", (), "nothing is ever deleted here"),
    Question("plain", "dr-osei", "GET", RECORD + "?_include=*", 403, "no_route", (), "a parameter nobody declared"),
    Question(
        "plain", "bill-novak", "GET", "/fhir/Claim/claim-1001", 200, "permitted", ("billing-works-on-claims",), "bills"
    ),
    Question("plain", "dr-osei", "GET", "/fhir/Claim/claim-1001", 403, "no_rule", (), "does not bill"),
    Question(
        "plain",
        "dr-lindqvist",
        "GET",
        "/public/../fhir/Record/rec-1002",
        403,
        "forbidden",
        ("very-restricted-documents",),
        "dots lead nowhere: Envoy resolves them, then asks",
    ),
    Question("plain", "dr-osei", "GET", "/fhir%2FRecord%2Frec-1001", 400, "", (), "Envoy refuses escaped slashes"),
    Question(
        "plain",
        "dr-lindqvist",
        "GET",
        RECORD,
        403,
        "no_rule",
        (),
        "headers of Chaperone's, sent by the client, change nothing",
        headers={"x-user": "dr-osei", "x-pdp-subject": "dr-osei", "x-pdp-fields": "{}", "x-pdp-secret": "guess"},
    ),
)

EVALUATIONS = (
    Evaluation(("member", "anna"), "read", ("Record", "rec-1001"), True, "permitted", ("own-documents",), why="hers"),
    Evaluation(("member", "boris"), "read", ("Record", "rec-1001"), False, "no_rule", why="not his"),
    Evaluation(
        ("service", "lakeside-clinic"),
        "disclose",
        ("Record", "rec-1001"),
        True,
        "permitted",
        ("disclosure-for-treatment",),
        {"purpose": "TREAT"},
        "a partner treats on",
    ),
    Evaluation(
        ("service", "old-clinic"),
        "disclose",
        ("Record", "rec-1001"),
        False,
        "forbidden",
        ("partner-without-agreement",),
        {"purpose": "TREAT"},
        "the agreement has ended",
    ),
    Evaluation(
        ("user", "dr-osei"),
        "read",
        ("Record", "rec-1001"),
        False,
        "indeterminate",
        (),
        {"purpose": "BTG"},
        "break the glass is no ordinary purpose",
    ),
    Evaluation(
        ("service", "acme-health-plan"),
        "disclose",
        ("Claim", "claim-1002"),
        False,
        "forbidden",
        ("self-pay-stays-private",),
        {"purpose": "HPAYMT"},
        "the patient paid for it in full",
    ),
)
