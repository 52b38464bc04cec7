"""Speaking to an identity provider: one bounded exchange, no redirects, no cookies, no proxies of the environment.

Each exchange runs in a thread of its own, so that whoever waits for it waits `timeout_milliseconds` and no longer,
however slowly the answer drips: then its connection is cut, and the thread ends. There are never more than
`MAX_AT_ONCE`.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from pdp.identity.issuer import Access
from pdp.identity.keys import Busy, Source, SourceError
from pdp.identity.line import Adapter, Line
from pdp.model.request import RequestError, strict_json

MAX_AT_ONCE: Final = 8
CHUNK: Final = 16_384


def permitted(url: str) -> bool:
    """https, or http to this machine: nothing else proves who answers."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not url.isascii() or not url.isprintable() or " " in url or parts.username is not None or parts.fragment:
        return False
    if parts.scheme == "https" and host:
        return True
    return parts.scheme == "http" and (host == "localhost" or _loopback(host))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Wire:
    """One identity provider, as it is spoken to. Safe for threads."""

    def __init__(self, access: Access) -> None:
        self._seconds = access.timeout_milliseconds / 1000
        self._max_bytes = access.max_bytes
        self._free = BoundedSemaphore(MAX_AT_ONCE)
        session = self._session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter())
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.verify = True if access.ca_file is None else str(access.ca_file)
        if access.certificate_file is not None and access.key_file is not None:
            session.cert = (str(access.certificate_file), str(access.key_file))
        self._files = [each for each in (access.ca_file, access.certificate_file, access.key_file) if each is not None]

    def get(self, url: str) -> bytes:
        """The body of a 200. Raises SourceError."""
        return self._exchanged("GET", url, {}, None)

    def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
        """The body of a 200. `basic`: user and password. Raises SourceError."""
        return self._exchanged("POST", url, form, basic)

    def _exchanged(self, method: str, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
        if not permitted(url):
            raise SourceError("neither https nor this machine")
        if not self._free.acquire(blocking=False):
            raise Busy("too many exchanges at once")
        outcome: list[bytes | SourceError] = []
        line = Line()

        def run() -> None:
            line.open()
            try:
                outcome.append(self._answer(method, url, form, basic))
            except SourceError as error:
                outcome.append(error)
            finally:
                line.close()
                self._free.release()

        thread = Thread(target=run, name="identity-provider", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if not outcome:
            line.cut()
            raise SourceError("no answer in time")
        if isinstance(outcome[0], SourceError):
            raise outcome[0]
        return outcome[0]

    def _answer(self, method: str, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
        deadline = monotonic() + self._seconds
        if not all(map(os.path.isfile, self._files)):  # OpenSSL would wait for whoever writes to a pipe.
            raise SourceError("a certificate's file is none, or no regular one")
        try:
            with self._session.request(
                method,
                url,
                data=dict(form) or None,
                auth=basic,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=self._seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    raise SourceError(f"answered {response.status_code}")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise SourceError("a compressed answer")
                return self._body(response.raw, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise SourceError(type(error).__name__) from error

    def _body(self, raw: Any, deadline: float) -> bytes:
        found = bytearray()
        while chunk := raw.read1(CHUNK):
            found += chunk
            if len(found) > self._max_bytes:
                raise SourceError(f"an answer of more than {self._max_bytes} bytes")
            if monotonic() > deadline:
                raise SourceError("no answer in time")
        return bytes(found)


def url_source(wire: Wire, url: str) -> Source:
    return lambda: wire.get(url)


def discovered_source(wire: Wire, issuer: str) -> Source:
    """The keys that the issuer's metadata names: OpenID Connect Discovery, else RFC 8414. Each time anew."""

    def read() -> bytes:
        return wire.get(_jwks_uri(wire, issuer))

    return read


def _jwks_uri(wire: Wire, issuer: str) -> str:
    base, parts = issuer.rstrip("/"), urlsplit(issuer)
    by_rfc_8414 = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    try:
        document = wire.get(f"{base}/.well-known/openid-configuration")
    except SourceError as error:
        if str(error) != "answered 404":
            raise
        document = wire.get(by_rfc_8414)
    try:
        metadata = strict_json(document, 12)
    except RequestError as error:
        raise SourceError(f"not metadata: {error.message}") from error
    if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
        raise SourceError("metadata of another issuer")
    found = metadata.get("jwks_uri")
    if not isinstance(found, str) or not permitted(found):
        raise SourceError("`jwks_uri` must be an https URL")
    return found
