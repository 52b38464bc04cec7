"""Page tokens: worth something for one question of one enforcement point under one policy set, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pdp.doors import pages
from pdp.doors.pages import Bound, Place
from pdp.model.request import RequestError

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW = 1_790_000_000_000_000
PLACE = Place(17, 2, NOW + 60_000_000)
BOUND = Bound(b"q" * 32, "portal", "program", "revision")
TOKEN = pages.token(KEY, PLACE, BOUND)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(text: str, bound: Bound = BOUND, key: bytes = KEY, now: int = NOW) -> str:
    with pytest.raises(RequestError) as error:
        pages.place(key, text, bound, now)
    assert error.value.field == "page.token"
    return error.value.message


@given(
    position=st.integers(0, 2**63 - 1),
    limit=st.none() | st.integers(0, pages.NO_LIMIT - 1),
    expires=st.integers(NOW + 1, 2**63 - 1),
    pep=st.text(),
)
def test_a_token_brings_back_its_place(position: int, limit: int | None, expires: int, pep: str) -> None:
    place, bound = Place(position, limit, expires), replace(BOUND, pep=pep)
    assert pages.place(KEY, pages.token(KEY, place, bound), bound, NOW) == place


@given(at=st.integers(0, len(TOKEN) - 1), by=st.sampled_from(ALPHABET))
def test_checklist_29_a_token_with_any_one_character_changed_is_refused(at: int, by: str) -> None:
    assume(TOKEN[at] != by)
    assert refused(TOKEN[:at] + by + TOKEN[at + 1 :]) == "is not a token for this request"


@given(st.text() | st.text(ALPHABET, min_size=80, max_size=80))
def test_checklist_29_nobody_else_makes_a_token(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "spelled", [TOKEN + "=", TOKEN + "\n", " " + TOKEN, TOKEN[:40] + "\n" + TOKEN[40:], TOKEN + "A"]
)
def test_checklist_29_a_token_has_one_spelling(spelled: str) -> None:
    assert refused(spelled) == "is not a token of this service"


@pytest.mark.parametrize("other", [{"question": b"z" * 32}, {"pep": "gateway"}, {"pep": "portal2"}, {"pep": ""}])
def test_checklist_29_a_token_moved_to_another_request_or_enforcement_point_is_refused(
    other: dict[str, object],
) -> None:
    assert refused(TOKEN, replace(BOUND, **other)) == "is not a token for this request"  # type: ignore[arg-type]


def test_checklist_29_a_token_of_another_start_is_refused() -> None:
    assert refused(TOKEN, key=OTHER_KEY) == "is not a token for this request"


@pytest.mark.parametrize("changed", [{"program_digest": "other"}, {"data_revision": "other"}])
def test_a_changed_policy_set_says_to_start_again(changed: dict[str, str]) -> None:
    assert "start again" in refused(TOKEN, replace(BOUND, **changed))  # type: ignore[arg-type]


def test_a_program_and_a_revision_are_not_confused() -> None:
    token = pages.token(KEY, PLACE, Bound(b"q" * 32, "portal", "ab", "c"))
    assert "start again" in refused(token, Bound(b"q" * 32, "portal", "a", "bc"))


def test_a_token_expires() -> None:
    assert pages.place(KEY, TOKEN, BOUND, PLACE.expires - 1) == PLACE
    assert "expired" in refused(TOKEN, now=PLACE.expires)


def test_a_token_does_not_show_its_place() -> None:
    """Two places next to each other have nothing in common: how far apart two results lie is nobody's business."""
    tokens = [pages.token(KEY, Place(position, 2, PLACE.expires), BOUND) for position in range(200)]
    assert len({token[:8] for token in tokens}) == 200
    assert len({token[43:54] for token in tokens}) == 200  # where the position is


QUESTION = {"subject": {"type": "user", "id": "a"}, "resource": {"type": "record"}, "context": {"n": 1}}


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(QUESTION.items())),
        QUESTION | {"page": {"limit": 3, "token": "x"}},
        QUESTION | {"page": {}},
        QUESTION | {"page": None},
        QUESTION | {"action": None},
    ],
)
def test_a_question_is_the_same_however_it_is_written(same: dict[str, object]) -> None:
    assert pages.question("resource", same) == pages.question("resource", QUESTION)


@pytest.mark.parametrize(
    "other",
    [
        QUESTION | {"context": {"n": True}},
        QUESTION | {"context": {"n": Decimal("1.0")}},
        QUESTION | {"context": {"n": "1"}},
        QUESTION | {"context": {"n": Decimal("1")}},
        QUESTION | {"context": {"n": "1.0"}},
        QUESTION | {"context": {"n": 2**65}},
        QUESTION | {"": "subject"},
        QUESTION | {"context": {"n": [1]}},
        QUESTION | {"context": {"n": 1, "m": None}},
        QUESTION | {"unknown": 1},
        QUESTION | {"page": {"properties": {"searched_fields": ["/ssn"]}}},
        QUESTION | {"subject": {"type": "user", "id": "b"}},
    ],
)
def test_another_question_is_another(other: dict[str, object]) -> None:
    assert pages.question("resource", other) != pages.question("resource", QUESTION)


@pytest.mark.parametrize("more", [{}, {"": "subject"}, {"kind": "subject"}])
def test_searches_of_another_kind_are_other_questions(more: dict[str, str]) -> None:
    assert pages.question("subject", QUESTION | more) != pages.question("resource", QUESTION | more)
