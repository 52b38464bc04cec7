"""The proxy doors over HTTP: which enforcement point asks, what its protocol says, and the verdict in its protocol."""

from __future__ import annotations

from pdp.config import Profile
from pdp.doors import envoy
from pdp.doors.original import Refused
from pdp.model.decision import Reason
from pdp.serve.check import Check
from pdp.serve.desk import EXT_AUTHZ, UNKNOWN_PEP, Desk, Exchange
from pdp.serve.http import Answer, Headers, Scope
from pdp.serve.pep import Peps, proxy_secret


class Proxy:
    def __init__(self, desk: Desk, check: Check) -> None:
        self._check = check
        self._peps = Peps(desk.settings.profiles, EXT_AUTHZ)

    async def ext_authz(self, scope: Scope, exchange: Exchange) -> Answer:
        """Envoy's HTTP service."""
        headers: Headers = scope["headers"]
        profile = self._known(self._peps, headers, exchange)
        if profile is None:
            return self.refuse(exchange, Reason.FAULT, UNKNOWN_PEP)
        try:
            path, query = scope["raw_path"], scope["query_string"]
            original = envoy.read(scope["method"], path, query, headers, profile.client_certificate)
        except Refused as refused:
            return self.refuse(exchange, refused.reason, refused.kind)
        return envoy.answer(await self._check.asked(original, profile, exchange), original.headers)

    def refuse(self, exchange: Exchange, reason: Reason, kind: str) -> Answer:
        """An explicit deny before any rule, with its record."""
        return envoy.answer(self._check.refused(exchange, reason, kind), ())

    def _known(self, peps: Peps, headers: Headers, exchange: Exchange) -> Profile | None:
        """An unknown proxy is no business of the client's: 403, since a 401 would send the client to log in."""
        profile = peps.of(proxy_secret(headers))
        if profile is not None:
            exchange.pep = profile.name
        return profile
