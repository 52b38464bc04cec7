"""OpenID AuthZEN 1.0: evaluation, evaluations, metadata (`search` is beside it). Pure: bytes to requests and back.

A payload that cannot be read is a `RequestError` that names the field (400 for the whole). An item of a batch that
cannot be read is a deny of that item alone. Unknown members are ignored; what is said about properties is judged later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from pdp.doors import duties
from pdp.model.decision import Decision, Effect, Refusal
from pdp.model.request import MAX_DEPTH, Request, RequestError, strict_json

EVALUATION_PATH: Final = "/access/v1/evaluation"
EVALUATIONS_PATH: Final = "/access/v1/evaluations"
METADATA_PATH: Final = "/.well-known/authzen-configuration"
MAX_REQUEST_ID: Final = 128
_VISIBLE: Final = re.compile(rb"[!-~]+").fullmatch


class Semantic(StrEnum):
    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"

    def settled_by(self, effect: Effect) -> bool:
        """Does this answer end the batch? The answers are then cut off behind it."""
        if self is Semantic.DENY_ON_FIRST_DENY:
            return effect is not Effect.ALLOW
        return self is Semantic.PERMIT_ON_FIRST_PERMIT and effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class Batch:
    """The items in order, each a request, or why it is none. `single`: answer as the one evaluation that it is."""

    items: tuple[Request | RequestError, ...]
    semantic: Semantic = Semantic.EXECUTE_ALL
    single: bool = False


# ---------------------------------------------------------------------------------------------------------- reading


def read_evaluation(content_type: bytes | None, body: bytes, max_depth: int = MAX_DEPTH) -> Request:
    """One question. Raises RequestError."""
    return request_of(payload_of(content_type, body, max_depth))


def read_evaluations(
    content_type: bytes | None, body: bytes, max_evaluations: int, max_depth: int = MAX_DEPTH
) -> Batch:
    """A batch: top-level entities are whole-object defaults, never merged. Raises RequestError."""
    payload = payload_of(content_type, body, max_depth)
    semantic = _semantic(payload)
    items = payload.get("evaluations")
    if items is None or items == []:
        return Batch((request_of(payload),), single=True)
    if not isinstance(items, list):
        raise RequestError("must be an array", "evaluations")
    if len(items) > max_evaluations:
        raise RequestError(f"holds more than {max_evaluations} items", "evaluations")
    defaults: dict[str, Any] = {
        name: payload[name] for name in ("subject", "action", "resource", "context") if name in payload
    }
    return Batch(tuple(_item(item, defaults, index) for index, item in enumerate(items)), semantic)


def payload_of(content_type: bytes | None, body: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object of a body. Raises RequestError."""
    if content_type != b"application/json" and not _is_json(content_type):
        raise RequestError("must be application/json", "Content-Type")
    if not body:
        raise RequestError("the body is empty")
    payload = strict_json(body, max_depth)
    if not isinstance(payload, dict):
        raise RequestError("must be an object")
    return payload


def _is_json(content_type: bytes | None) -> bool:
    if content_type is None:
        return False
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    return kind.strip() == b"application/json" and charset in (b"", b"charset=utf-8")


def _semantic(payload: Mapping[str, Any]) -> Semantic:
    options = payload.get("options")
    if options is None:
        return Semantic.EXECUTE_ALL
    if not isinstance(options, dict):
        raise RequestError("must be an object", "options")
    name = options.get("evaluations_semantic", Semantic.EXECUTE_ALL)
    if name not in list(Semantic):
        raise RequestError(f"must be one of {', '.join(Semantic)}", "options.evaluations_semantic")
    return Semantic(name)


def _item(item: object, defaults: Mapping[str, Any], index: int) -> Request | RequestError:
    try:
        if not isinstance(item, dict):
            raise RequestError("must be an object")
        return request_of({**defaults, **item})
    except RequestError as error:
        where = f"evaluations[{index}]"
        return RequestError(error.message, f"{where}.{error.field}" if error.field else where)


def request_of(payload: Mapping[str, Any]) -> Request:
    """The question that an object is. Raises RequestError."""
    subject, action, resource = entity(payload, "subject"), entity(payload, "action"), entity(payload, "resource")
    return Request(
        name_of(subject, "subject", "type"),
        name_of(subject, "subject", "id"),
        name_of(action, "action", "name"),
        name_of(resource, "resource", "type"),
        name_of(resource, "resource", "id"),
        properties_of(subject, "subject"),
        properties_of(action, "action"),
        properties_of(resource, "resource"),
        context_of(payload),
    )


def context_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The context; empty where there is none. Raises RequestError."""
    context = payload.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise RequestError("must be an object", "context")
    if duties.SUPPORTED in context:
        duties.checked(context)
    return context


def entity(payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The subject, action or resource. Raises RequestError."""
    entity = payload.get(name)
    if isinstance(entity, dict):
        return entity
    raise RequestError("is missing" if entity is None else "must be an object", name)


def name_of(entity: Mapping[str, Any], what: str, member: str) -> str:
    """A type, an id, or the name of an action. Raises RequestError."""
    text = entity.get(member)
    if isinstance(text, str) and text:
        return text
    if text is None:
        raise RequestError("is missing", f"{what}.{member}")
    raise RequestError("must be a text that is not empty", f"{what}.{member}")


def properties_of(entity: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """What is said of an entity; empty where nothing is. Raises RequestError."""
    properties = entity.get("properties")
    if properties is None:
        return {}
    if isinstance(properties, dict):
        return properties
    raise RequestError("must be an object", f"{what}.properties")


def clean_request_id(value: bytes | None) -> bytes | None:
    """The X-Request-ID to echo: visible ASCII of at most 128 characters, else none at all."""
    return value if value and len(value) <= MAX_REQUEST_ID and _VISIBLE(value) else None


# -------------------------------------------------------------------------------------------------------- answering


def answer(decision: Decision, decision_id: str, demanded: Mapping[str, Any] | None = None) -> bytes:
    """The body of one evaluation. `demanded`: as of `answered`."""
    head = b'{"decision":true,"context":' if decision.effect is Effect.ALLOW else b'{"decision":false,"context":'
    if not decision.obligations and not decision.refusals and not decision.fields.limited:
        # The common answer, without a JSON writer: an id and a reason are plain words.
        plain = f'{{"decision_id":"{decision_id}","reasons":[{{"code":"{decision.reason}"}}],"obligations":[]}}}}'
        return head + plain.encode()
    return orjson.dumps(answered(decision, decision_id, demanded))


def answered(decision: Decision, decision_id: str, demanded: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One answer as JSON-ready members (an item of a batch).

    `demanded`: the obligation of a deny, type and properties, that would lift it (`pdp.doors.stepup`).
    """
    context: dict[str, Any] = {"decision_id": decision_id, "reasons": reasons(decision), "obligations": []}
    if demanded is not None:
        context["obligations"] = [{"id": f"{decision_id}.0", **demanded, "binding": True}]
    return {"decision": decision.effect is Effect.ALLOW, "context": context | conditions(decision, decision_id)}


def conditions(decision: Decision, decision_id: str) -> dict[str, Any]:
    """What comes with a decision and must be done with it: `obligations`, `fields`; what may be: `advice`."""
    said: dict[str, Any] = {}
    for duty in duties.listed(decision, decision_id):
        said.setdefault("obligations" if duty["binding"] else "advice", []).append(duty)
    if decision.fields.limited:
        released, masked = decision.fields.released, sorted(decision.fields.masked)
        said["fields"] = {"masked": masked} | ({} if released is None else {"released": sorted(released)})
    return said


def reasons(decision: Decision) -> list[dict[str, Any]]:
    """What may be told (SEMANTICS 28): a stable word, the public sentences; cures only if each denying rule has one."""
    first: dict[str, Any] = {"code": str(decision.reason)}
    cures = _cures(decision.refusals)
    if cures:
        first["cures"] = cures
    sentences = sorted({each.because for each in decision.refusals if each.because and not each.erred})
    return [first, *({"code": str(decision.reason), "text": text} for text in sentences)]


def _cures(refusals: Sequence[Refusal]) -> list[str]:
    if not refusals or any(each.erred or not each.cures for each in refusals):
        return []
    return sorted({cure for each in refusals for cure in each.cures})


def refused_item(error: RequestError, decision_id: str) -> dict[str, Any]:
    """An item of a batch that could not be read: a deny, and why."""
    return {
        "decision": False,
        "context": {"decision_id": decision_id, "error": {"status": 400, "message": str(error)}},
    }


def answers(items: Sequence[dict[str, Any]]) -> bytes:
    """The body of a batch. There is no top-level decision."""
    return orjson.dumps({"evaluations": items})


def problem(status: int, message: str, decision_id: str, field: str = "") -> bytes:
    """The body of an answer that is no decision (400, 401, 413, 429, 500)."""
    detail = {"status": status, "message": message} | ({"field": field} if field else {})
    return orjson.dumps({"error": detail, "decision_id": decision_id})


def metadata(public_url: str, search_paths: Mapping[Any, str], obligations: Sequence[str]) -> dict[str, Any]:
    """The discovery document. Every URL starts with the configured base, never with what a request says.

    What has no value is left out: there is no `capabilities`, since the registry of capabilities holds none yet.
    """
    members: dict[str, Any] = {
        "policy_decision_point": public_url,
        "access_evaluation_endpoint": public_url + EVALUATION_PATH,
        "access_evaluations_endpoint": public_url + EVALUATIONS_PATH,
    }
    members |= {f"search_{kind}_endpoint": public_url + path for kind, path in search_paths.items()}
    return members | ({duties.SUPPORTED: list(obligations)} if obligations else {})


def permit_cache_control(decision: Decision, now: int, max_age_seconds: int) -> bytes:
    """`no-store`, unless the operator lets permits be kept: then until time alone could change them, rounded down."""
    if max_age_seconds > 0 and decision.effect is Effect.ALLOW:
        age = min(max_age_seconds, (decision.valid_until - now) // 1_000_000)
        if age > 0:
            return b"private, max-age=%d" % age
    return b"no-store"
