"""The demo's identity provider: a key, its public half in a file, and access tokens (RFC 9068)."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER = "https://login.hospital.example"
AUDIENCE = "https://ehr.hospital.example"
HOUR = 3_600


class Login:
    def __init__(self, directory: Path) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "demo", "use": "sig", "alg": "ES256"}, private=True)
        self._forger = ECKey.generate_key("P-256", {"kid": "demo", "use": "sig", "alg": "ES256"}, private=True)
        public = {"keys": [self._key.as_dict(private=False)]}
        (directory / "keys.json").write_text(json.dumps(public), encoding="ascii")

    def token(self, user: str, seconds: int = HOUR, forged: bool = False) -> str:
        """What a real provider gives this person after a login, or what somebody else would like to pass for it."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "client_id": "ehr-web", "jti": secrets.token_hex(8)}
        times = {"iat": min(now, now + seconds) - 60, "exp": now + seconds}
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "demo"}
        return jwt.encode(header, claims | times, self._forger if forged else self._key)
