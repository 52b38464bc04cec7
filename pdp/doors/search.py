"""OpenID AuthZEN 1.0: search for subjects, resources and actions. Pure: bytes to a question, what was found to bytes.

The entity that is searched for needs only its type; an id that it comes with is ignored. What is said of its properties
is said of every candidate. `page.properties.searched_fields` names the fields (JSON pointers) that the enforcement
point will filter or sort the results by: where one of them is hidden, the result is not found (SEMANTICS 18).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pdp.decide.search import Hit, Kind
from pdp.doors import authzen, pages
from pdp.doors.authzen import context_of, entity, name_of, properties_of
from pdp.model.decision import Reason
from pdp.model.request import MAX_DEPTH, Request, RequestError

PATHS: Final = {kind: f"/access/v1/search/{kind}" for kind in Kind}
MAX_LIMIT: Final = 500
"""Results of one page. Each of them is in its record, so a page has an end."""
MAX_SEARCHED_FIELDS: Final = 100
_GREATEST: Final = pages.NO_LIMIT - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """One search. The searched name of `request` (an id, or the action) is empty."""

    kind: Kind
    request: Request
    question: bytes  # what a page token is bound to
    token: str  # "" for the first page
    limit: int | None  # None: not said

    def page_limit(self, place: pages.Place | None) -> int:
        """How many results this page may have. Raises RequestError for a limit that was not that of the first page."""
        if place is not None and self.limit not in (None, place.limit):
            raise RequestError("is not the limit that the first page was asked for with", "page.limit")
        limit = self.limit if place is None else place.limit
        return MAX_LIMIT if limit is None else min(limit, MAX_LIMIT)


def read(kind: Kind, content_type: bytes | None, body: bytes, max_depth: int = MAX_DEPTH) -> Asked:
    """One search. Raises RequestError."""
    payload = authzen.payload_of(content_type, body, max_depth)
    page = _page(payload)
    return Asked(kind, _request(kind, payload, page), pages.question(kind, payload), _token(page), _limit(page))


def _request(kind: Kind, payload: Mapping[str, Any], page: Mapping[str, Any]) -> Request:
    subject, resource = entity(payload, "subject"), entity(payload, "resource")
    # An action search has no action; one that is sent all the same is ignored, as a searched id is.
    action = {} if kind is Kind.ACTION else entity(payload, "action")
    return Request(
        name_of(subject, "subject", "type"),
        "" if kind is Kind.SUBJECT else name_of(subject, "subject", "id"),
        "" if kind is Kind.ACTION else name_of(action, "action", "name"),
        name_of(resource, "resource", "type"),
        "" if kind is Kind.RESOURCE else name_of(resource, "resource", "id"),
        properties_of(subject, "subject"),
        properties_of(action, "action"),
        properties_of(resource, "resource"),
        context_of(payload),
        searched_fields=_searched_fields(page),
    )


def _page(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    page = payload.get("page")
    if page is None:
        return {}
    if not isinstance(page, dict):
        raise RequestError("must be an object", "page")
    return page


def _token(page: Mapping[str, Any]) -> str:
    token = page.get("token")
    if token is None:
        return ""
    if not isinstance(token, str):
        raise RequestError("must be a text", pages.FIELD)
    return token


def _limit(page: Mapping[str, Any]) -> int | None:
    limit = page.get("limit")
    if limit is None:
        return None
    if type(limit) is not int or not 0 <= limit <= _GREATEST:
        raise RequestError(f"must be a whole number from 0 to {_GREATEST}", "page.limit")
    return limit


def _searched_fields(page: Mapping[str, Any]) -> frozenset[str]:
    properties = page.get("properties")
    if properties is None:
        return frozenset()
    if not isinstance(properties, dict):
        raise RequestError("must be an object", "page.properties")
    fields = properties.get("searched_fields")
    if fields is None:
        return frozenset()
    if not isinstance(fields, list) or not all(isinstance(each, str) for each in fields):
        raise RequestError("must list texts", "page.properties.searched_fields")
    if len(fields) > MAX_SEARCHED_FIELDS:
        raise RequestError(f"lists more than {MAX_SEARCHED_FIELDS}", "page.properties.searched_fields")
    return frozenset(fields)


# -------------------------------------------------------------------------------------------------------- answering


def answer(asked: Asked, hits: Sequence[Hit], undecided: int, next_token: str, whole: bool, decision_id: str) -> bytes:
    """The body of one page. `whole`: it is the first and the last one, so that the total is known."""
    page: dict[str, Any] = {"next_token": next_token, "count": len(hits)}
    context: dict[str, Any] = {"decision_id": decision_id}
    if whole:
        page["total"] = len(hits)
    if undecided:
        # Only how many: the caller may not know who they are (SEMANTICS 28).
        context["undecided"] = undecided
    results = [_result(asked, hit, f"{decision_id}.{number}") for number, hit in enumerate(hits)]
    return orjson.dumps({"page": page, "context": context, "results": results})


def nothing(reason: Reason, decision_id: str) -> bytes:
    """The body of a search that is denied before any rule: nothing is found, and why."""
    page = {"next_token": "", "count": 0, "total": 0}
    context = {"decision_id": decision_id, "reasons": [{"code": str(reason)}]}
    return orjson.dumps({"page": page, "context": context, "results": []})


def _result(asked: Asked, hit: Hit, identifier: str) -> dict[str, Any]:
    request = asked.request
    conditions = authzen.conditions(hit.decision, identifier)
    if asked.kind is Kind.ACTION:
        return {"name": hit.name} | conditions
    searched = request.subject_type if asked.kind is Kind.SUBJECT else request.resource_type
    return {"type": searched, "id": hit.name} | conditions
