"""The gRPC door of a decision worker: Envoy's `Authorization/Check`.

Whatever goes wrong here ends as an explicit deny in a call that succeeds: a call that fails is an error to Envoy, and
an Envoy that was told to fail open lets the request pass. So nothing is left to the server's own handling: messages are
parsed here, faults are answered here, and a call that is too late, too many or too long is denied in so many words.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import lru_cache
from time import perf_counter_ns, time_ns
from typing import Any, Final

import grpc

from pdp.config import Profile, Settings
from pdp.doors import envoy_grpc
from pdp.doors.envoy_grpc import METHOD, SERVICE
from pdp.doors.original import Original, Refused
from pdp.doors.verdict import Verdict, denial
from pdp.model.decision import Reason
from pdp.serve.arrivals import Arrivals
from pdp.serve.check import Check
from pdp.serve.desk import GRPC, Desk, Exchange
from pdp.serve.hands import Hands
from pdp.serve.pep import AMBIGUOUS, Peps

SECRET: Final = "x-pdp-secret"
LEAST_SECONDS: Final = 0.002
"""A call with less time left than this gets no evaluation: its answer would come too late."""

ROOM_BYTES: Final = 262_144
"""Beside a body: headers, a certificate, what the operator says."""

LAST_RESORT: Final[bytes] = envoy_grpc.answer(denial(Reason.FAULT, "-"), ()).SerializeToString()


class _Gone(Exception):
    """The caller has gone before its message came."""


class Door:
    """Answers `Check`. Safe for threads."""

    def __init__(self, desk: Desk, check: Check, hands: Hands, arrivals: Arrivals) -> None:
        settings = desk.settings
        self._desk = desk
        self._check = check
        self._hands = hands
        self._peps = Peps(settings.profiles, GRPC)
        self._arrivals = arrivals
        self._max_open = settings.max_in_flight
        self._max_wait = settings.shed_after_milliseconds / 1000
        self._max_bytes = largest_message(settings)

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """As a stream of requests (see `pdp.serve.arrivals`)."""
        method: Any = grpc.stream_unary_rpc_method_handler(self.answered)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    def answered(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The serialized CheckResponse of a call. Raises nothing."""
        exchange = self._desk.exchange(GRPC)
        try:
            return self._answered(messages, context, exchange)
        except _Gone:
            return LAST_RESORT  # Nothing was asked, nobody reads this.
        except Exception as error:  # The one place: a deny, and a record.
            return self._fault(error, exchange)

    def _fault(self, error: Exception, exchange: Exchange) -> bytes:
        try:
            self._desk.metrics.faults += 1
            self._desk.worker.report(error, exchange.decision_id)
            return self._refused(self._desk.after(exchange), Reason.FAULT, type(error).__name__)
        except Exception:  # Even that: still a deny in a call that succeeds.
            return LAST_RESORT

    def _answered(self, messages: Iterator[bytes], context: grpc.ServicerContext, exchange: Exchange) -> bytes:
        certificate = _certificate(context) if self._peps.by_certificate else None
        profile = self._peps.of(_secret(context), certificate, exchange.now)
        # Nobody waits for the message of somebody unknown.
        data = None if profile is None else self._message(messages, context)
        exchange.now = time_ns() // 1000
        started = perf_counter_ns()
        try:
            return self._judged(data, profile, context, exchange)
        finally:
            self._desk.metrics.took((perf_counter_ns() - started) // 1000)

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        try:
            return self._arrivals.first(messages, context)
        except Exception as error:  # Of grpcio, which says in several ways that a call has ended.
            raise _Gone from error

    def _judged(
        self, data: bytes | None, profile: Profile | None, context: grpc.ServicerContext, exchange: Exchange
    ) -> bytes:
        if self._overloaded() or _left(context) < LEAST_SECONDS:
            self._desk.metrics.shed += 1
            return self._refused(exchange, Reason.OVERLOADED, "overload")
        if profile is None:
            # An unknown proxy is no business of the client's: 403, since a 401 would send the client to log in.
            why = self._peps.why(_secret(context), _certificate(context), exchange.now)
            return self._refused(exchange, Reason.UNKNOWN_PEP, why)
        exchange.pep = profile.name
        try:
            original = self._read(data, profile)
        except Refused as refused:
            return self._refused(exchange, refused.reason, refused.kind)
        verdict = self._check.asked_here(original, profile, exchange)
        return self._carried(verdict, original, context, exchange)

    def _read(self, data: bytes | None, profile: Profile) -> Original:
        if data is None:
            raise Refused(Reason.BAD_REQUEST, "no-message")
        if len(data) > self._max_bytes:
            raise Refused(Reason.BAD_REQUEST, "too-long")
        return envoy_grpc.read(data, profile.client_certificate)

    def _carried(
        self, verdict: Verdict, original: Original, context: grpc.ServicerContext, exchange: Exchange
    ) -> bytes:
        """The verdict as it leaves. What was permitted and cannot leave so is denied, and that has a record too."""
        response = envoy_grpc.answer(verdict, original.headers)
        if not verdict.opens:
            return serialized(response)
        if not envoy_grpc.allows(response):
            return self._refused(self._desk.after(exchange), Reason.FAULT, "unsound-mutation")
        if _left(context) <= 0 or not context.is_active():
            return self._refused(self._desk.after(exchange), Reason.OVERLOADED, "too-late")
        return serialized(response)

    def _refused(self, exchange: Exchange, reason: Reason, kind: str) -> bytes:
        verdict = self._check.refused(exchange, reason, kind)
        if self._desk.kept_here(exchange):
            verdict.receipt = exchange.receipt
        return serialized(envoy_grpc.answer(verdict, ()))

    def _overloaded(self) -> bool:
        hands = self._hands
        return hands.open > self._max_open or hands.waited > self._max_wait or self._desk.worker.late


def serialized(response: Any) -> bytes:
    data: bytes = response.SerializeToString()
    return data or LAST_RESORT  # Nothing at all would be a permit.


def largest_message(settings: Settings) -> int:
    return settings.max_body_bytes + ROOM_BYTES


def _left(context: grpc.ServicerContext) -> float:
    """Seconds until the caller does not wait any more."""
    left: float | None = context.time_remaining()
    return float("inf") if left is None else left


def _secret(context: grpc.ServicerContext) -> bytes | None:
    values = [value for name, value in context.invocation_metadata() or () if name == SECRET]
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or value is None:
        return AMBIGUOUS
    return value if isinstance(value, bytes) else value.encode("utf-8", "replace")


def _certificate(context: grpc.ServicerContext) -> bytes | None:
    """DER of the caller's certificate, which the handshake verified. None: it showed none."""
    shown: Any = context.auth_context().get("x509_pem_cert")
    if not shown:
        return None
    return _der(bytes(shown[0])) if len(shown) == 1 else b""


@lru_cache(1_024)
def _der(pem: bytes) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    except ValueError:
        return b""  # Names nobody.
