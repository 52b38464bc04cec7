"""`[issuer.NAME]`: whose tokens count, how they are verified, and what of them is believed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pdp.config.peps import Profile
from pdp.config.reading import Table, named, path
from pdp.config.trust import WHOLE
from pdp.identity.issuer import (
    ALGORITHMS,
    KINDS,
    USUAL_ALGORITHMS,
    Access,
    Introspection,
    Issuer,
    KeySource,
    Reading,
)
from pdp.identity.spiffe import TrustDomain

SOURCES: Final = ("keys", "keys_file", "keys_url", "discovery")


def issuers(given: Any, file: Path, problems: list[str]) -> tuple[Issuer, ...]:
    """The issuers of a settings file."""
    tables = list(named("issuer", given, file, problems))
    found = [_Reader(name, table).issuer() for name, table in tables]
    for (_, table), sentence in _confusions(list(zip(tables, found, strict=True))):
        table.wrong(sentence)
    return _apart(found)


def signer(name: str, table: Table) -> Issuer:
    """Whoever signs something else than access tokens: its name, whom that is for, its keys. Leaves the table open."""
    reader = _Reader(name, table)
    return Issuer(
        name,
        reader._issuer(),
        reader._audiences(),
        "jwt",
        reader._algorithms(),
        reader._keys("jwt"),
        reader._access(),
        leeway_seconds=table.number("leeway_seconds", 30, 0, 120),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    table: Table

    def issuer(self) -> Issuer:
        table = self.table
        kind = table.one_of("token", KINDS, "access")
        types = self._types()
        found = Issuer(
            name=self.name,
            issuer=self._issuer(),
            audiences=self._audiences(),
            kind=kind,
            algorithms=self._algorithms(),
            keys=KeySource() if kind == "opaque" else self._keys(kind),
            access=self._access(),
            introspection=self._introspection() if kind == "opaque" else None,
            profile=self._profile(),
            claims=self._claims(),
            codes=self._codes(),
            smart_scopes=table.flag("smart_scopes") if "smart_scopes" in table else None,
            subject_claim=self._path("subject_claim", ("sub",)),
            subject_prefix=table.text("subject_prefix"),
            subject_type=table.text("subject_type", "user"),
            subject_type_claim=self._path("subject_type_claim", ()),
            subject_types=types,
            sender_constrained=table.flag("sender_constrained"),
            max_token_bytes=table.number("max_token_bytes", 16_384, 512, 16_384),
            max_lifetime_seconds=table.number("max_lifetime_seconds", 86_400, 60, 2_592_000),
            leeway_seconds=table.number("leeway_seconds", 30, 0, 120),
            shares_subjects=table.flag("shares_subjects"),
        )
        if ("subject_type_claim" in table) != bool(types) or ("subject_type" in table and types):
            table.wrong("`subject_type` is fixed, or `subject_type_claim` and `subject_types` find it")
        table.close()
        return found

    def _issuer(self) -> str:
        """`iss`, exactly: nothing is stripped, an issuer that ends in a slash is another one."""
        found = self.table.text("issuer")
        if not found or " " in found or not found.isascii():
            self.table.wrong("`issuer` must say whose tokens these are: their `iss`, or a trust domain")
        return found

    def _audiences(self) -> frozenset[str]:
        found = self.table.texts("audience", alone=True)
        if not found:
            self.table.wrong("`audience` must list what tokens for us name: without it any service's token would count")
        return frozenset(found)

    def _algorithms(self) -> frozenset[str]:
        found = self.table.texts("algorithms", tuple(USUAL_ALGORITHMS))
        if not found or not set(found) <= set(ALGORITHMS):
            self.table.wrong(f"`algorithms` must list some of {', '.join(ALGORITHMS)}")
        return frozenset(found)

    def _keys(self, kind: str) -> KeySource:
        table = self.table
        if sum(each in table for each in SOURCES) != 1:
            table.wrong(f"needs one of {', '.join(f'`{each}`' for each in SOURCES)}")
        if table.flag("discovery") and not _permitted(table.text("issuer")):
            table.wrong("`discovery` needs an `issuer` that is an https URL")
        use = "jwt-svid" if kind == "svid" else "sig"
        return KeySource(
            table.read("keys", lambda value, _: _inline(value, use), ()),
            table.read("keys_file", lambda value, base: _file(value, base, use), None),
            table.read("keys_url", _url, ""),
            table.flag("discovery"),
            table.number("refresh_seconds", 300, 10, 86_400),
            table.number("cooldown_seconds", 30, 1, 3_600),
            table.number("keep_keys_seconds", 86_400, 10, 604_800),
        )

    def _access(self) -> Access:
        table = self.table
        found = Access(
            timeout_milliseconds=table.number("timeout_milliseconds", 3_000, 100, 20_000),
            ca_file=_readable(table, "ca_file"),
            certificate_file=_readable(table, "client_certificate_file"),
            key_file=_readable(table, "client_key_file"),
        )
        if (found.certificate_file is None) != (found.key_file is None):
            table.wrong("`client_certificate_file` and `client_key_file` need each other")
        return found

    def _introspection(self) -> Introspection:
        table = self.table
        found = Introspection(
            table.read("introspection_url", _url, ""),
            table.text("client_id"),
            table.secret("client_secret_file"),
            table.number("introspection_cache_seconds", 30, 1, 300),
        )
        if not found.url or not found.client:
            table.wrong('`token = "opaque"` needs `introspection_url` and `client_id`')
        if ("client_secret_file" in table) == ("client_certificate_file" in table):
            table.wrong("`client_secret_file` or `client_certificate_file` must prove who asks for an introspection")
        return found

    # ------------------------------------------------------------------------------------------------------- its claims

    def _profile(self) -> str:
        from pdp.identity.claims import PROFILES

        return self.table.one_of("profile", tuple(PROFILES), "oidc")

    def _claims(self) -> Mapping[str, Reading]:
        found = {}
        for name, said in self.table.table("claims").items():
            try:
                found[name] = _reading(name, said)
            except ValueError as error:
                self.table.wrong(f"`claims.{name}` {error}")
        return found

    def _codes(self) -> Mapping[str, str]:
        found = self.table.table("codes")
        if not all(isinstance(each, str) and "|" in each for each in found.values()):
            self.table.wrong('`codes` must map how tokens write a code to "SYSTEM|CODE"')
            return {}
        return dict(found)

    def _types(self) -> Mapping[str, str]:
        found = self.table.table("subject_types")
        if not all(isinstance(each, str) and each for each in found.values()):
            self.table.wrong("`subject_types` must map values of `subject_type_claim` to (wire) types")
            return {}
        return dict(found)

    def _path(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        from pdp.identity import claims

        return self.table.read(key, lambda value, _: claims.path(_text(value)), default)


def _reading(name: str, said: object) -> Reading:
    """`"a.b"`, or `{ path = "a.b", as = "code" }`."""
    from pdp.identity import claims

    if not name.isascii() or not name.isidentifier():
        raise ValueError("must be the name of an attribute")
    given = {"path": said} if isinstance(said, str) else said
    if not isinstance(given, dict) or not {"path"} <= given.keys() <= {"path", "as"}:
        raise ValueError('must be a path, or { path = "..", as = ".." }')
    read = given.get("as", "as-is")
    if read not in claims.READINGS:
        raise ValueError(f"`as` must be one of {', '.join(claims.READINGS)}")
    return Reading(claims.path(_text(given["path"])), str(read))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _url(value: object, _base: Path) -> str:
    if not isinstance(value, str) or not _permitted(value):
        raise ValueError("must be an https URL (http only to this machine)")
    return value


def _permitted(url: str) -> bool:
    from pdp.identity.fetch import permitted  # Heavy, and needed only where something is fetched.

    return permitted(url)


def _inline(value: object, use: str) -> tuple[Mapping[str, Any], ...]:
    from pdp.identity.keys import of_keys

    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise ValueError("must list JWKs as tables")
    skipped = of_keys(value, use).skipped
    if skipped:
        raise ValueError(f"holds what cannot be used: {skipped[0]}")
    return tuple(value)


def _file(value: object, base: Path, use: str) -> Path:
    """The file is read at start, so that a mistake in it is found then; and again while we run."""
    from pdp.identity.keys import SourceError, file_source, key_set

    where = path(value, base)
    try:
        found = key_set(file_source(where)(), use)
    except SourceError as error:
        raise ValueError(f": {error}") from error
    if not found.keys:
        raise ValueError(f": {where} holds no key that can be used{': ' * bool(found.skipped)}{found.skipped[:1]}")
    return where


def _readable(table: Table, key: str) -> Path | None:
    found = table.path(key)
    if found is not None and not found.is_file():
        table.wrong(f"`{key}`: {found} is no file")
    return found


def _confusions(found: list[tuple[tuple[str, Table], Issuer]]) -> Iterable[tuple[tuple[str, Table], str]]:
    """Where the tokens of two issuers would be taken for one another's, or their people for one another."""
    for number, (where, issuer) in enumerate(found):
        for _, other in found[:number]:
            if issuer.issuer == other.issuer and issuer.issuer and _signs(issuer) == _signs(other):
                yield where, f"is the issuer of [issuer.{other.name}], too"
            elif _same_people(issuer, other):
                yield (
                    where,
                    f"could name the same subject as [issuer.{other.name}]; give one a `subject_prefix`, or both"
                    " `shares_subjects = true` when they mean the same people",
                )


def _signs(issuer: Issuer) -> str:
    """How its tokens are told from another's of the same name: by their form."""
    return "jwt" if issuer.kind == "access" else issuer.kind


def _same_people(one: Issuer, other: Issuer) -> bool:
    return _meet(one, other) and one.subject_prefix == other.subject_prefix


def _meet(one: Issuer, other: Issuer) -> bool:
    """Could a subject be either's? SPIFFE IDs are nobody else's: `pdp.identity.claims` sees to it."""
    apart = "svid" in (one.kind, other.kind) or not one.types() & other.types()
    return not apart and not (one.shares_subjects and other.shares_subjects)


def _apart(found: Collection[Issuer]) -> tuple[Issuer, ...]:
    """Each knows which longer prefixes are others': its own people may not be called so."""
    return tuple(
        replace(
            issuer,
            reserved_prefixes=tuple(
                other.subject_prefix
                for other in found
                if _meet(issuer, other)
                and other.subject_prefix != issuer.subject_prefix
                and other.subject_prefix.startswith(issuer.subject_prefix)
            ),
        )
        for issuer in found
    )


def contradictions(
    issuers: Collection[Issuer], profiles: Iterable[Profile], trust_domains: Mapping[str, TrustDomain]
) -> list[str]:
    """What the sections may not say together."""
    names = {each.name for each in issuers}
    found = [
        f"[pep.{profile.name}]: `issuers` names `{name}`, and there is no [issuer.{name}]"
        for profile in profiles
        for name in sorted((profile.issuers or frozenset()) - names)
    ]
    for issuer in issuers:
        if issuer.kind == "svid":
            if issuer.issuer not in trust_domains:
                found.append(f"[issuer.{issuer.name}]: there is no [trust_domain.{issuer.issuer!r}]")
            continue
        found += [
            f"[issuer.{issuer.name}] could name the same subject as [trust_domain.{name}];"
            ' use `subject_id = "spiffe-id"`, or another `subject_type`'
            for name, domain in trust_domains.items()
            # Fewer words than a SPIFFE ID may be anybody's.
            if domain.subject_id != WHOLE and domain.subject_type in issuer.types() and not issuer.shares_subjects
        ]
    return found
