"""The ASGI application of a decision worker: which door, limits, and what happens when anything at all goes wrong.

Whatever goes wrong ends as an explicit deny at the proxy door and as 4xx or 5xx at the API doors, with a record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns, time_ns

from pdp.audit.log import Log
from pdp.config import Settings
from pdp.config.peps import API_DOORS, NOBODY
from pdp.doors import authzen, envoy, forward_auth, opa
from pdp.model.decision import Reason
from pdp.serve import metadata, port, tls
from pdp.serve.api import Api
from pdp.serve.callers import Callers
from pdp.serve.check import Check
from pdp.serve.desk import AUTHZEN, EXT_AUTHZ, FORWARD_AUTH, OPA, Desk, Exchange, why_unrecorded
from pdp.serve.http import JSON, NO_STORE, TEXT, Answer, Disconnected, Headers, Receive, Scope, Send
from pdp.serve.limits import Limits
from pdp.serve.opa import Opa
from pdp.serve.proxy import Proxy
from pdp.serve.runtime import Runtime, key
from pdp.serve.worker import Worker

Handler = Callable[[Scope, Receive, Exchange], Awaitable[Answer]]


class Application:
    """One worker's. Its snapshot is replaced by one assignment; each request takes it once."""

    def __init__(self, settings: Settings, runtime: Runtime, log: Log, serving: tls.Serving | None = None) -> None:
        self._settings = settings
        self._in_flight = 0
        self.worker = Worker(settings, runtime, log)
        self._desk = Desk(settings, log, self.worker, Limits(settings.limits, runtime, self.worker.metrics.limited))
        self._callers = callers = Callers(settings, runtime.directory, self.worker.following.sessions.judge)
        check = Check(self._desk, callers)
        if port.wanted(settings):
            from pdp.serve.grpc_server import Server  # Only here, after the fork: grpcio does not outlive one.

            self.worker.beside = Server(self._desk, check, serving)
        self._proxy = Proxy(self._desk, check)
        self._opa = Opa(self._desk, check)
        api = Api(self._desk, callers, key(runtime))
        self._doors: dict[bytes, tuple[str, Handler]] = {
            **{path.encode(): (AUTHZEN, handler) for path, handler in api.endpoints()},
            forward_auth.PATH: (FORWARD_AUTH, self._proxy.forward_auth),
        }
        self.worker.at_start, self.worker.at_end = self._desk.spool.open, self._at_end
        self._plain: dict[bytes, Callable[[], Answer]] = {
            **metadata.answers(settings, time_ns() // 1_000_000_000),
            b"/live": lambda: (200, [TEXT, NO_STORE], b"live\n"),
            b"/ready": self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            try:
                status, headers, body = await self._answer(scope, receive)
            except Disconnected:
                return
            headers.append((b"content-length", b"%d" % len(body)))
            body = b"" if scope["method"] == "HEAD" else body  # Left to gunicorn, each would be a line of its log.
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif kind == "lifespan":
            await self.worker.lifespan(receive, send)
        else:  # A websocket asks for nothing that we give: refused before it opens.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path: bytes = scope["raw_path"]
        found = self._door(path)
        if found is None:
            return self._other(scope["method"], path)
        door, handler = found
        metrics, started = self.worker.metrics, perf_counter_ns()
        exchange = self._desk.exchange(door)
        exchange.headers = scope["headers"]
        self._in_flight += 1
        try:
            if self._in_flight > self._settings.max_in_flight or self.worker.late:
                metrics.shed += 1
                return await self._denied(exchange, Reason.OVERLOADED, "overload")
            answer = await handler(scope, receive, exchange)
            if not await self._desk.kept(exchange):
                answer = self._refuse(exchange, *why_unrecorded(exchange))
            if door in API_DOORS:
                _echo(scope["headers"], answer[1])
            return _with_receipt(answer, exchange)
        except Disconnected:
            raise
        except Exception as error:  # The one place: a deny, and a record.
            metrics.faults += 1
            self.worker.report(error, exchange.decision_id)
            return await self._denied(self._desk.after(exchange), Reason.FAULT, type(error).__name__)
        finally:
            self._in_flight -= 1
            metrics.took((perf_counter_ns() - started) // 1000)

    async def _denied(self, exchange: Exchange, reason: Reason, kind: str) -> Answer:
        refusal = self._refuse(exchange, reason, kind)
        await self._desk.kept(exchange)
        return _with_receipt(refusal, exchange)

    def malformed(self, path: bytes, kind: str, status: int) -> Answer:
        """What the HTTP parser refuses, by the door it was meant for as far as that could be read; else as at a proxy
        door, where 403 denies and 501 would be an error that some proxies let pass. `kind`: a stable word. A refusal in
        any case, so nobody waits for its record.
        """
        found = self._door(path.partition(b"?")[0])
        exchange = self._desk.exchange(NOBODY if found is None else found[0])
        self.worker.metrics.malformed += 1
        if exchange.door in API_DOORS:
            refusal = self._desk.refuse(exchange, Reason.BAD_REQUEST, kind, status if status < 500 else 400)
        else:
            refusal = self._proxy.refuse(exchange, Reason.BAD_REQUEST, kind)
        self._desk.unattended(exchange)
        return refusal

    def each_second(self) -> None:
        now = time_ns() // 1000
        self._desk.tell_floods(now)
        self._desk.strangers.tell(now)
        self._desk.tell_emergencies()
        self.worker.outside(self._callers.problems())

    def _at_end(self) -> None:
        self._desk.tell_floods(time_ns() // 1000, all_of_them=True)
        self._desk.tell_emergencies()
        self._desk.spool.close()

    def _door(self, path: bytes) -> tuple[str, Handler] | None:
        found = self._doors.get(path)
        if found is None and envoy.covers(path):
            return EXT_AUTHZ, self._proxy.ext_authz
        if found is None and opa.covers(path):
            return OPA, self._opa.data
        return found

    def _refuse(self, exchange: Exchange, reason: Reason, kind: str) -> Answer:
        refuse = self._desk.refuse if exchange.door in API_DOORS else self._proxy.refuse
        return refuse(exchange, reason, kind)

    def _other(self, method: str, path: bytes) -> Answer:
        handler = self._plain.get(path)
        if handler is None:
            self._desk.strangers.lost()
            return 404, [TEXT, NO_STORE], b"no such door\n"
        if method not in ("GET", "HEAD"):
            return 405, [TEXT, NO_STORE, (b"allow", b"GET, HEAD")], b"GET only\n"
        return handler()

    def _ready(self) -> Answer:
        status, body = self.worker.ready(time_ns() // 1000)
        return status, [JSON, NO_STORE], body


def _with_receipt(answer: Answer, exchange: Exchange) -> Answer:
    """For whoever asked, and for a proxy's log; where its record is shared, or could not be written, there is none."""
    if exchange.receipt:
        answer[1].append((b"x-pdp-receipt", exchange.receipt.encode("ascii")))
    return answer


def _echo(given: Headers, headers: Headers) -> None:
    """Send a clean X-Request-ID back, whatever the answer."""
    for name, value in given:
        if name == b"x-request-id":
            clean = authzen.clean_request_id(value)
            if clean is not None:
                headers.append((name, clean))
            return
