"""The AuthZEN metadata: what this service offers, where, and, where the operator has a key for it, signed.

Made once at start, of the settings alone: nothing of a request, nothing of a policy. Every URL starts with
`public_url`. The signature (`signed_metadata`, a JWT) says the same members, with `iss` the same URL.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from pdp.config import Settings
from pdp.doors import authzen, duties, search
from pdp.identity.files import regular
from pdp.serve.http import JSON, Answer

if TYPE_CHECKING:
    from pathlib import Path

STEP_UP: Final = "step-up"
AGE: Final = (b"cache-control", b"max-age=60")
MAX_KEY_BYTES: Final = 65_536
CURVES: Final = {"P-256": "ES256", "Ed25519": "EdDSA"}


class BadKey(ValueError):
    """The file holds no key that metadata can be signed with. The message is one clause."""


def document(settings: Settings, now: int) -> bytes:
    """The metadata. `now`: seconds since the epoch. Raises BadKey."""
    members = _members(settings)
    if settings.metadata_key_file is not None:
        members["signed_metadata"] = _signed(members, settings.metadata_key_file, now)
    return orjson.dumps(members)


def answers(settings: Settings, now: int) -> dict[bytes, Callable[[], Answer]]:
    """The document by path: the well-known one, and behind it the path of `public_url`, where it has one (RFC 8615).

    Any other path behind it, a tenant that is not configured, is nobody's.
    """
    body = document(settings, now)
    path = authzen.METADATA_PATH.encode()
    tenant = urlsplit(settings.public_url).path.encode("ascii")
    return {each: lambda: (200, [JSON, AGE], body) for each in (path, path + tenant)}


def problems(settings: Settings) -> list[str]:
    """What is wrong with the key, for whoever starts the service."""
    try:
        document(settings, 0)
    except BadKey as error:
        return [f"metadata_key_file: {settings.metadata_key_file} {error}"]
    return []


def _members(settings: Settings) -> dict[str, Any]:
    """Search is offered where some enforcement point may search; obligations, those that some of them can carry out.

    Not what the policy set declares: a duty that nobody can carry out is never issued, and policies are not public.
    """
    here = [each for each in settings.profiles if "authzen" in each.doors]
    paths = search.PATHS if any(each.search for each in here) else {}
    names = {name for each in here for name in each.capabilities.obligations}
    if settings.sessions.step_up.offered:
        names.add(STEP_UP)
    return authzen.metadata(settings.public_url, paths, duties.types(names))


def _signed(members: dict[str, Any], file: Path, now: int) -> str:
    """A JWT of the members. Its `kid` is the key's thumbprint (RFC 7638)."""
    # Not before there is a key: who signs nothing waits for no import.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey

    try:
        pem = regular(file, MAX_KEY_BYTES)
    except OSError as error:
        raise BadKey(f"cannot be read: {error.strerror}") from error
    for kind in (ECKey, OKPKey):
        try:
            key = kind.import_key(pem)
        except (ValueError, TypeError, JoseError):
            continue
        algorithm = CURVES.get(key.curve_name)
        if algorithm is None or not key.is_private:
            break
        header = {"alg": algorithm, "typ": "JWT", "kid": key.thumbprint()}
        claims = {**members, "iss": members["policy_decision_point"], "iat": now}
        with warnings.catch_warnings():  # Of RFC 9864's new name for EdDSA, which few verifiers know.
            warnings.simplefilter("ignore")
            return jwt.encode(header, claims, key, algorithms=[algorithm])
    raise BadKey("must hold a private key on P-256 or Ed25519, as PEM that is not encrypted")
