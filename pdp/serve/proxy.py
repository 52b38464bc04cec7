"""The proxy doors over HTTP: which enforcement point asks, what its protocol says, and the verdict in its protocol."""

from __future__ import annotations

from pdp.config import Profile
from pdp.doors import envoy, forward_auth
from pdp.doors.original import Refused
from pdp.model.decision import Reason
from pdp.serve.check import Check
from pdp.serve.desk import EXT_AUTHZ, FORWARD_AUTH, Desk, Exchange
from pdp.serve.http import Answer, Headers, Receive, Scope, certificate
from pdp.serve.pep import Peps, proxy_secret


class Proxy:
    def __init__(self, desk: Desk, check: Check) -> None:
        self._check = check
        self._peps = Peps(desk.settings.profiles, EXT_AUTHZ)
        self._forwarders = Peps(desk.settings.profiles, FORWARD_AUTH)

    async def ext_authz(self, scope: Scope, _receive: Receive, exchange: Exchange) -> Answer:
        """Envoy's HTTP service."""
        headers: Headers = scope["headers"]
        profile, why = _known(self._peps, scope, exchange)
        if profile is None:
            return self.refuse(exchange, Reason.UNKNOWN_PEP, why)
        try:
            path, query = scope["raw_path"], scope["query_string"]
            original = envoy.read(scope["method"], path, query, headers, profile.client_certificate)
        except Refused as refused:
            return self.refuse(exchange, refused.reason, refused.kind)
        return envoy.answer(await self._check.asked(original, profile, exchange), original.headers)

    async def forward_auth(self, scope: Scope, _receive: Receive, exchange: Exchange) -> Answer:
        """nginx, Traefik, Caddy, HAProxy, APISIX. The question's own method, query and body say nothing."""
        headers: Headers = scope["headers"]
        profile, why = _known(self._forwarders, scope, exchange)
        if profile is None:
            return self.refuse(exchange, Reason.UNKNOWN_PEP, why)
        try:
            original = forward_auth.read(headers, profile.convention, profile.client_certificate)
        except Refused as refused:
            return self.refuse(exchange, refused.reason, refused.kind, profile.convention)
        return forward_auth.answer(await self._check.asked(original, profile, exchange), profile.convention)

    def refuse(self, exchange: Exchange, reason: Reason, kind: str, convention: str = "") -> Answer:
        """An explicit deny before any rule, with its record."""
        verdict = self._check.refused(exchange, reason, kind)
        if exchange.door == FORWARD_AUTH:
            return forward_auth.answer(verdict, convention)
        return envoy.answer(verdict, ())


def _known(peps: Peps, scope: Scope, exchange: Exchange) -> tuple[Profile | None, str]:
    """Who asks, or why nobody known does. An unknown proxy is no business of the client's: 403, since a 401 would send
    the client to log in.
    """
    shown = proxy_secret(scope["headers"]), certificate(scope), exchange.now
    profile = peps.of(*shown)
    if profile is None:
        return None, peps.why(*shown)
    exchange.pep = profile.name
    return profile, ""
