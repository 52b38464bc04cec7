"""Who may tell us that sessions have ended: `[transmitter.NAME]` of the settings as a noun."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.identity.issuer import Issuer


@dataclass(frozen=True, slots=True)
class Transmitter:
    """Who may send events, and about whose subjects. Never taken from a request."""

    signer: Issuer  # `iss` of its events, what they must be for, its keys
    subjects: frozenset[str]  # the issuers (`iss`) of whose subjects it may speak
    secret: bytes | None = field(default=None, repr=False)
    max_age_seconds: int = 604_800  # of an event when it comes

    @property
    def name(self) -> str:
        return self.signer.name
