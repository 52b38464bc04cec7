"""The management plane's part in revoking: an API for operators, a door for the events of identity providers.

What is answered with 201 or 202 is on disk, and in force in every worker within a second. A revocation is never taken
back here: whoever was revoked by mistake authenticates again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, TypeVar

import orjson
from flask import Flask, Response, request

from pdp.config import Settings
from pdp.identity.caller import FOREVER
from pdp.identity.events import MAX_BYTES, EventRefused, Receiver
from pdp.identity.revocations import ANY_ISSUER, MAX_LINE_BYTES, Revocation, read
from pdp.identity.store import Store, StoreError
from pdp.model.request import RequestError, strict_json

T = TypeVar("T")

EVENT: Final = "event"
"""The endpoint where whoever sends proves itself, by signature and secret: the operator's secret is not asked for."""

EVENT_TYPE: Final = "application/secevent+jwt"
MAX_PAGE: Final = 1_000


def register(app: Flask, settings: Settings, now: Callable[[], int]) -> None:
    """Add the routes."""
    shelf = Shelf(settings)
    receiver = Receiver(settings.transmitters)
    issuers = {each.issuer for each in settings.issuers} | {*settings.trust_domains, ANY_ISSUER}

    @app.post("/api/revocations")
    def revoke() -> Response:
        if request.mimetype != "application/json":
            return _problem(400, "must be application/json", "Content-Type")
        try:
            asked = read(strict_json(_body(MAX_LINE_BYTES)), now(), "api")
            if asked.issuer not in issuers:  # It would refuse nobody, and whoever asked would believe that it did.
                raise RequestError(f"is none that is configured; `{ANY_ISSUER}` is any of them", "issuer")
        except RequestError as error:
            return _problem(400, error.message, error.field)
        try:
            kept = shelf.use(lambda store: store.revoke([asked], now())[0])
        except StoreError as error:
            return _problem(503, f"it could not be stored and is not in force: {error}", retry=True)
        return _json(201, shown(kept))

    @app.get("/api/revocations")
    def revocations() -> Response:
        try:
            after, limit = _number("after", 0, FOREVER), _number("limit", 100, MAX_PAGE)
        except RequestError as error:
            return _problem(400, error.message, error.field)
        try:
            found = shelf.use(lambda store: store.revocations(after, limit + 1))
        except StoreError as error:
            return _problem(503, f"they cannot be read: {error}", retry=True)
        page = found[:limit]
        following = page[-1].sequence if len(found) > limit else None
        return _json(200, {"revocations": [shown(each) for each in page], "next": following})

    @app.post("/events/<name>", endpoint=EVENT)
    def event(name: str) -> Response:
        try:
            if not receiver.known(name, request.headers.get("Authorization", "")):
                return Response("no such transmitter\n", 404)
            if request.mimetype != EVENT_TYPE:
                raise EventRefused("invalid_request", f"the content type must be {EVENT_TYPE}")
            token = _body(MAX_BYTES)
            shelf.use(lambda store: receiver.take(name, token, now(), store))
        except EventRefused as refused:
            return _refused(refused)
        except RequestError as error:
            return _refused(EventRefused("invalid_request", error.message))
        except StoreError:
            return _problem(503, "the event could not be stored", retry=True)
        return Response(status=202)


class Shelf:
    """The store of this process. Safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._directory = settings.state_dir
        self._lock = Lock()
        self._store: Store | None = None
        with suppress(StoreError):  # Now, so that it is the one that the workers have; else when it is needed.
            self._store = Store(self._directory)

    def use(self, work: Callable[[Store], T]) -> T:
        """Raises StoreError."""
        with self._lock:
            if self._store is None:
                self._store = Store(self._directory)
            store = self._store
        store.version()  # A file that was replaced is one that no worker reads: nothing is written there.
        return work(store)


def shown(revocation: Revocation) -> dict[str, Any]:
    """A revocation as the API gives it."""
    return {
        "id": revocation.id,
        "issuer": revocation.issuer,
        "kind": revocation.kind,
        "value": revocation.value,
        "not_before": "forever" if revocation.not_before == FOREVER else _time(revocation.not_before),
        "reason": revocation.reason,
        "source": revocation.source,
        "recorded": _time(revocation.recorded),
    }


def _time(instant: int) -> str:
    moment = datetime.fromtimestamp(instant // 1_000_000, UTC).replace(microsecond=instant % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")


def _body(limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise RequestError(f"is longer than {limit} bytes")
    found = request.stream.read(limit + 1)
    if len(found) > limit:
        raise RequestError(f"is longer than {limit} bytes")
    return found


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not int(text) <= most:
        raise RequestError(f"must be a whole number up to {most}", name)
    return int(text)


def _json(status: int, body: Any) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


def _problem(status: int, message: str, field: str = "", retry: bool = False) -> Response:
    detail = {"status": status, "message": message} | ({"field": field} if field else {})
    response = _json(status, {"error": detail})
    if retry:
        response.headers["Retry-After"] = "5"
    return response


def _refused(refused: EventRefused) -> Response:
    """RFC 8935 section 2.3."""
    response = _json(refused.status, {"err": refused.code, "description": refused.description})
    response.headers["Content-Language"] = "en"
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refused.status == 503:
        response.headers["Retry-After"] = "5"
    return response
