"""The profiles of the enforcement points (PEPs): `[pep.NAME]`. Who each is, and what it may and can do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.config.reading import Table, named
from pdp.identity.spiffe import NotSpiffe, parse
from pdp.model.decision import Capabilities

API_DOORS: Final = ("authzen", "opa")
PROXY_DOORS: Final = ("ext_authz", "grpc", "forward_auth")
DOORS: Final = frozenset(API_DOORS + PROXY_DOORS)
CONVENTIONS: Final = ("nginx", "traefik", "caddy", "haproxy", "apisix")
"""Whose headers name the original request at `/forward-auth`."""

OPA_INPUTS: Final = ("envoy", "kong", "apisix", "authzen")
"""Whose input counts at the OPA data API."""

NOBODY: Final = "-"
"""Who asks, in a record, where that is not known."""

EVIDENCE: Final = ("token", "certificate")
CERTIFICATES: Final = ("none", "peer", "xfcc", "header")
"""Where a proxy says which client certificate it has verified: nowhere; the gRPC `source.certificate`; the last element
of `x-forwarded-client-cert`; `x-client-certificate`, a URL-encoded PEM."""

SUBJECT_TOKENS: Final = ("accepted", "required")
"""`x-pdp-subject-token`, the subject's own token, sent along by an application: it may, or it must."""

_DNS: Final = re.compile(r"dns:(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*").fullmatch
_DIGEST: Final = re.compile(r"sha256:(?:[0-9A-Fa-f]{64}|(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})").fullmatch


@dataclass(frozen=True, slots=True)
class Profile:
    """One enforcement point. Never taken from a request."""

    name: str
    secret: bytes | None = field(default=None, repr=False)
    doors: frozenset[str] = DOORS
    may_assert: frozenset[str] = frozenset({"context.*"})
    capabilities: Capabilities = field(default_factory=Capabilities)
    context: Mapping[str, Any] = field(default_factory=dict)
    # The enforcement point's own client certificate, any of these: "spiffe://..", "dns:NAME", "sha256:HEX".
    certificates: tuple[str, ...] = ()
    convention: str = ""  # one of CONVENTIONS; "": none, so `/forward-auth` is closed
    evidence: tuple[str, ...] = EVIDENCE  # what may name the subject: the first that is shown does
    client_certificate: str = "none"  # one of CERTIFICATES
    issuers: frozenset[str] | None = None  # whose tokens count here; None: all that are configured
    search: bool = False  # may it ask who, what and how (AuthZEN search)?
    subject_token: str = "accepted"  # one of SUBJECT_TOKENS, at the API doors
    opa_input: str = ""  # one of OPA_INPUTS; "": none, so the OPA data API is closed
    origin: str = ""  # "https://ehr.hospital.example", of the services behind a proxy: DPoP's `htu` starts with it

    @property
    def open(self) -> bool:
        """Does whoever reaches the listener have this profile?"""
        return self.secret is None and not self.certificates

    @property
    def certificate_names(self) -> frozenset[str]:
        """Its `certificates`, each in its one spelling."""
        return frozenset(map(_one_spelling, self.certificates))

    def clashes(self, other: Profile) -> bool:
        """At one door: could what is shown by one be of the other too? Then it is neither."""
        if self.secret != other.secret:
            return False
        mine, others = self.certificate_names, other.certificate_names
        return not (mine and others) or not mine.isdisjoint(others)


def _one_spelling(name: str) -> str:
    return name.replace(":", "").lower().replace("sha256", "sha256:", 1) if name.startswith("sha256:") else name


def profiles(given: Any, file: Path | None, shared: bytes | None, problems: list[str]) -> tuple[Profile, ...]:
    """The profiles of a settings file; one that is called `default` where it names none. `shared`: their secret."""
    if given is None or file is None:
        return (Profile("default", shared),)
    return tuple(_profile(name, table, shared) for name, table in named("pep", given, file, problems))


def _profile(name: str, table: Table, shared: bytes | None) -> Profile:
    if not name.isprintable() or name == NOBODY:
        table.wrong("a profile's name stands in records, where a line break, or `-`, would mean something else")
    asserts, doors = table.texts("may_assert", ("context.*",)), table.texts("door", tuple(sorted(DOORS)), alone=True)
    if not all(map(_assertion, asserts)):
        table.wrong("`may_assert` must list `subject.NAME`, `action.NAME`, `resource.NAME`, `context.NAME`, or `*`")
    if not doors or not DOORS.issuperset(doors):
        table.wrong(f"`door` must be one of {', '.join(sorted(DOORS))}, or a list of them")
    certificates = table.texts("certificate")
    if not all(map(_certificate, certificates)):
        table.wrong(
            "`certificate` must list `spiffe://..`, `dns:NAME` (exact, in lower case) or `sha256:HEX` (64 digits)"
        )
    own = table.secret("secret_file")
    evidence = table.texts("evidence", EVIDENCE)
    if not set(evidence) <= set(EVIDENCE):
        table.wrong(f"`evidence` must list some of {', '.join(EVIDENCE)}")
    convention = table.one_of("convention", CONVENTIONS, "") if "convention" in table else ""
    if "forward_auth" in doors and "door" in table and not convention:
        table.wrong(f"`convention` must say whose headers count: one of {', '.join(CONVENTIONS)}")
    opa_input = table.one_of("opa_input", OPA_INPUTS, "") if "opa_input" in table else ""
    if "opa" in doors and "door" in table and not opa_input:
        table.wrong(f"`opa_input` must say whose input counts: one of {', '.join(OPA_INPUTS)}")
    profile = Profile(
        name,
        # A point with a certificate of its own needs no secret; one that names both must show both.
        own if own or certificates else shared,
        frozenset(doors),
        frozenset(asserts),
        Capabilities(table.flag("fields"), frozenset(table.texts("obligations"))),
        table.table("context"),
        certificates,
        convention,
        evidence,
        table.one_of("client_certificate", CERTIFICATES, "none"),
        frozenset(table.texts("issuers")) if "issuers" in table else None,
        table.flag("search"),
        table.one_of("subject_token", SUBJECT_TOKENS, "accepted"),
        opa_input,
        table.url("origin"),
    )
    table.close()
    return profile


def contradictions(profiles: Iterable[Profile]) -> Iterator[str]:
    """What a profile may say, and then nobody is ever known at its doors."""
    for each in profiles:
        if each.client_certificate == "peer" and "grpc" not in each.doors:
            yield (
                f'[pep.{each.name}]: `client_certificate = "peer"` is what the door `grpc` is told, and this profile'
                " has not that door"
            )
        # At the AuthZEN door the subject is named by the enforcement point itself.
        proven = each.doors - {"authzen"}
        if proven and each.client_certificate == "none" and "token" not in each.evidence:
            yield (
                f"[pep.{each.name}]: `evidence` is the client's certificate alone, and `client_certificate` does not"
                f" say where it is; one of {', '.join(CERTIFICATES[1:])}"
            )


def _certificate(text: str) -> bool:
    """Can a certificate have this name? What none can have would be an enforcement point that is never known."""
    try:
        return bool(_DNS(text) or _DIGEST(text)) or str(parse(text)) == text
    except NotSpiffe:
        return False


def _assertion(text: str) -> bool:
    place, _, name = text.partition(".")
    return text == "*" or (
        place in ("subject", "action", "resource", "context") and (name == "*" or name.isidentifier())
    )
