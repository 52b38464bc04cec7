"""AuthZEN: what is read, what is refused with the field named, what is said in the answer."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors import authzen
from pdp.doors.authzen import Semantic
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason, Refusal
from pdp.model.request import Request, RequestError

JSON = b"application/json"
WHOLE = {
    "subject": {"type": "user", "id": "alice"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "record-1"},
}
ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",))
DENY = Decision(Effect.DENY, Reason.NO_RULE)


def read(payload: object, content_type: bytes | None = JSON) -> Request:
    return authzen.read_evaluation(content_type, json.dumps(payload).encode())


def without(path: str) -> dict[str, object]:
    """WHOLE without one member, or with it set: `subject.id`, `subject.id=5`."""
    payload = json.loads(json.dumps(WHOLE))
    path, _, value = path.partition("=")
    target = payload
    *parents, last = path.split(".")
    for each in parents:
        target = target[each]
    if value:
        target[last] = json.loads(value)
    else:
        del target[last]
    return payload


def test_an_evaluation_is_read() -> None:
    payload = WHOLE | {"context": {"time": "2025-06-27T18:03-07:00"}, "unknown": [1]}
    payload["subject"] = {"type": "user", "id": "alice", "properties": {"role": "admin"}, "extra": 1}
    request = read(payload)
    assert (request.subject_type, request.subject_id, request.action) == ("user", "alice", "read")
    assert (request.resource_type, request.resource_id) == ("record", "record-1")
    assert request.subject_properties == {"role": "admin"}
    assert request.context == {"time": "2025-06-27T18:03-07:00"}
    assert request.token is None
    assert request.route is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("subject", "subject"),
        ("action", "action"),
        ("resource", "resource"),
        ("subject.type", "subject.type"),
        ("subject.id", "subject.id"),
        ("action.name", "action.name"),
        ("resource.type", "resource.type"),
        ("resource.id", "resource.id"),
        ('subject="alice"', "subject"),
        ("subject=[]", "subject"),
        ("subject=null", "subject"),
        ("action.name=123", "action.name"),
        ("action.name=null", "action.name"),
        ('subject.id=""', "subject.id"),
        ("subject.id=true", "subject.id"),
        ("subject.properties=[]", "subject.properties"),
        ('action.properties="x"', "action.properties"),
        ("context=[]", "context"),
        ('context="x"', "context"),
    ],
)
def test_checklist_27_a_member_that_is_missing_null_or_mistyped_is_named(change: str, field: str) -> None:
    with pytest.raises(RequestError) as error:
        read(without(change))
    assert error.value.field == field


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"application/jsonx",
        b"application/x-www-form-urlencoded",
        b"application/json; charset=utf-16",
    ],
)
def test_another_content_type_is_refused(content_type: bytes | None) -> None:
    with pytest.raises(RequestError) as error:
        read(WHOLE, content_type)
    assert error.value.field == "Content-Type"


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON", b'application/json; charset="UTF-8"']
)
def test_json_is_json_however_it_is_written(content_type: bytes) -> None:
    assert read(WHOLE, content_type).subject_id == "alice"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe{}",
        b'\xef\xbb\xbf{"subject":1}',
        b'{"subject":{"type":"user","id":"alice","id":"bob"},"action":{"name":"read"},"resource":{"type":"r","id":"1"}}',
        b'{"subject":{"type":"user","i\\u0064":"alice","id":"bob"},"action":{"name":"read"},"resource":{"type":"r","id":"1"}}',
        b'{"subject":{},"context":{},"context":{}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999999999999999999999999999999999999999999}',
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":99999999999999999999999}',
        b'{"a":"\\ud800"}',
    ],
)
def test_checklist_27_duplicate_names_long_numbers_and_what_is_no_json_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        authzen.read_evaluation(JSON, body)


@given(st.binary(max_size=300))
def test_checklist_27_any_bytes_are_a_request_or_a_request_error(body: bytes) -> None:
    for read_one in (
        lambda: authzen.read_evaluation(JSON, body),
        lambda: authzen.read_evaluations(JSON, body, 10),
    ):
        with suppress(RequestError):
            read_one()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["alice", "", "user", "execute_all"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["subject", "action", "resource", "context", "evaluations", "options", "type", "id", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_checklist_27_any_json_is_a_batch_of_requests_and_errors_or_a_request_error(payload: object) -> None:
    try:
        batch = authzen.read_evaluations(JSON, json.dumps(payload).encode(), 10)
    except RequestError:
        return
    assert batch.items
    assert all(isinstance(each, Request | RequestError) for each in batch.items)


def test_checklist_27_a_number_beyond_64_bits_is_no_other_number() -> None:
    """What fits no type is not rounded: it stays what it is, and makes its attribute unknown when it is typed."""
    payload = WHOLE | {"context": {"n": 2**63, "m": 9_007_199_254_740_993}}
    assert read(payload).context == {"n": 2**63, "m": 9_007_199_254_740_993}


def test_checklist_27_null_in_properties_stays_null_and_null_properties_are_none() -> None:
    request = read(WHOLE | {"subject": {"type": "user", "id": "a", "properties": {"role": None}}, "context": None})
    assert (request.subject_properties, request.context) == ({"role": None}, {})
    assert read(WHOLE | {"subject": {"type": "user", "id": "a", "properties": None}}).subject_properties == {}


@given(st.binary(max_size=200))
def test_checklist_27_whatever_is_sent_as_request_id_no_header_comes_of_it(value: bytes) -> None:
    echoed = authzen.clean_request_id(value)
    assert echoed is None or (echoed == value and echoed.isascii() and not set(echoed) & set(b"\r\n\0 "))


# ------------------------------------------------------------------------------------------------------------- batch


def batch(payload: object, most: int = 100) -> authzen.Batch:
    return authzen.read_evaluations(JSON, json.dumps(payload).encode(), most)


def test_checklist_27_defaults_are_whole_objects_never_merged() -> None:
    payload = WHOLE | {"evaluations": [{}, {"subject": {"type": "user", "id": "bob"}}, {"subject": {"id": "bob"}}]}
    payload["subject"] = {"type": "user", "id": "alice", "properties": {"role": "admin"}}
    first, second, third = batch(payload).items
    assert isinstance(first, Request)
    assert first.subject_properties == {"role": "admin"}
    assert isinstance(second, Request)
    assert second.subject_properties == {}
    assert isinstance(third, RequestError)
    assert third.field == "evaluations[2].subject.type"


def test_a_context_is_inherited_or_replaced() -> None:
    payload = WHOLE | {"context": {"a": 1, "b": 2}, "evaluations": [{}, {"context": {"a": 3}}]}
    first, second = batch(payload).items
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (first.context, second.context) == ({"a": 1, "b": 2}, {"a": 3})


@pytest.mark.parametrize("extra", [{}, {"evaluations": []}, {"evaluations": None}])
def test_without_evaluations_it_is_a_single_one(extra: dict[str, object]) -> None:
    found = batch(WHOLE | extra)
    assert found.single
    assert isinstance(found.items[0], Request)


def test_an_incomplete_single_one_is_a_bad_request() -> None:
    with pytest.raises(RequestError):
        batch({"subject": WHOLE["subject"], "evaluations": []})


def test_an_item_that_is_no_object_is_refused_alone() -> None:
    items = batch(WHOLE | {"evaluations": ["x", {}]}).items
    assert isinstance(items[0], RequestError)
    assert isinstance(items[1], Request)


def test_checklist_27_null_is_no_value_and_does_not_inherit() -> None:
    (item,) = batch(WHOLE | {"evaluations": [{"subject": None}]}).items
    assert isinstance(item, RequestError)


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"evaluations": {}}, "evaluations"),
        ({"evaluations": "x"}, "evaluations"),
        ({"evaluations": [{}] * 4}, "evaluations"),
        ({"evaluations": [{}], "options": []}, "options"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": "any"}}, "options.evaluations_semantic"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": 1}}, "options.evaluations_semantic"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": ["execute_all"]}}, "options.evaluations_semantic"),
    ],
)
def test_checklist_27_a_batch_that_is_too_long_or_cannot_be_read_is_refused_whole(
    extra: dict[str, object], field: str
) -> None:
    with pytest.raises(RequestError) as error:
        batch(WHOLE | extra, most=3)
    assert error.value.field == field


def test_checklist_27_two_semantics_cut_the_answers_off() -> None:
    allow, deny = Effect.ALLOW, Effect.DENY
    assert [Semantic.EXECUTE_ALL.settled_by(each) for each in (allow, deny)] == [False, False]
    assert [Semantic.DENY_ON_FIRST_DENY.settled_by(each) for each in (allow, deny)] == [False, True]
    assert [Semantic.PERMIT_ON_FIRST_PERMIT.settled_by(each) for each in (allow, deny)] == [True, False]


# ------------------------------------------------------------------------------------------------------------ answers


def told(decision: Decision) -> dict[str, object]:
    return json.loads(authzen.answer(decision, "id-1"))


@pytest.mark.parametrize("reason", list(Reason))
def test_the_quick_answer_and_the_written_one_are_the_same(reason: Reason) -> None:
    for effect in Effect:
        decision = Decision(effect, reason, ("rule",))
        assert told(decision) == authzen.answered(decision, "id-1")
        assert told(decision)["decision"] is (effect is Effect.ALLOW)


def test_an_answer_names_duties_and_fields_but_no_rules() -> None:
    decision = replace(
        ALLOW,
        obligations=(Obligation("notify", (("to", "privacy"),), "secret-rule"),),
        fields=Fields(frozenset({"/name", "/id"}), frozenset({"/ssn"})),
    )
    context = told(decision)["context"]
    assert context == {
        "decision_id": "id-1",
        "reasons": [{"code": "permitted"}],
        "obligations": [{"id": "id-1.0", "type": "notify", "properties": {"to": "privacy"}, "binding": True}],
        "fields": {"masked": ["/ssn"], "released": ["/id", "/name"]},
    }
    assert b"secret-rule" not in authzen.answer(decision, "id-1")


def test_semantics_28_a_cure_is_shown_only_if_every_denying_rule_has_one() -> None:
    curable = Refusal("a", because="consent is missing", cures=("consent",))
    deny = replace(DENY, reason=Reason.FORBIDDEN, refusals=(curable,))
    assert told(deny)["context"]["reasons"] == [  # type: ignore[index]
        {"code": "forbidden", "cures": ["consent"]},
        {"code": "forbidden", "text": "consent is missing"},
    ]
    hopeless = replace(deny, refusals=(curable, Refusal("b")))
    assert "cures" not in told(hopeless)["context"]["reasons"][0]  # type: ignore[index]
    erred = replace(deny, refusals=(replace(curable, erred=True),))
    assert told(erred)["context"]["reasons"] == [{"code": "forbidden"}]  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "echoed"),
    [
        (b"bfe9eb29-ab87-4ca3-be83-a1d5d8305716", True),
        (b"x" * 128, True),
        (b"x" * 129, False),
        (b"", False),
        (None, False),
        (b"a b", False),
        (b"a\r\nset-cookie: x", False),
        (b"caf\xc3\xa9", False),
        (b"a\x00", False),
    ],
)
def test_checklist_27_a_request_id_is_echoed_only_when_it_is_clean(value: bytes | None, echoed: bool) -> None:
    assert authzen.clean_request_id(value) == (value if echoed else None)


def test_the_metadata_starts_with_the_configured_url() -> None:
    found = authzen.metadata("https://pdp.example", {"subject": "/search"}, ["notification"])
    assert found["search_subject_endpoint"] == "https://pdp.example/search"
    assert found["supported_obligations"] == ["notification"]
    assert authzen.metadata("https://pdp.example", {}, ()).keys() <= found.keys() - {"supported_obligations"}
    assert found["policy_decision_point"] == "https://pdp.example"
    assert found["access_evaluation_endpoint"] == "https://pdp.example/access/v1/evaluation"
    assert found["access_evaluations_endpoint"] == "https://pdp.example/access/v1/evaluations"


def test_semantics_25_a_permit_is_kept_only_where_allowed_and_rounded_down() -> None:
    soon = replace(ALLOW, valid_until=10_999_999)
    assert authzen.permit_cache_control(soon, 0, 0) == b"no-store"
    assert authzen.permit_cache_control(soon, 0, 60) == b"private, max-age=10"
    assert authzen.permit_cache_control(soon, 0, 5) == b"private, max-age=5"
    assert authzen.permit_cache_control(soon, 10_000_000, 60) == b"no-store"
    assert authzen.permit_cache_control(soon, 11_000_000, 60) == b"no-store"
    assert authzen.permit_cache_control(replace(DENY, valid_until=10_999_999), 0, 60) == b"no-store"


def test_a_deny_may_come_with_the_obligation_that_would_lift_it() -> None:
    denied = replace(DENY, reason=Reason.STEP_UP, refusals=(Refusal("a", cures=("step_up",)),))
    demanded = {"type": "step-up", "properties": {"acr_value": "high"}}
    context = json.loads(authzen.answer(denied, "id-1", demanded))["context"]
    assert context["obligations"] == [{"id": "id-1.0", **demanded, "binding": True}]
