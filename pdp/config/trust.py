"""`[trust_domain.NAME]`: which SPIFFE trust domains count, and who their members are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pdp.config.reading import Table, named, path
from pdp.identity.files import regular
from pdp.identity.spiffe import ANY_SEGMENT, SUBJECT_IDS, TrustDomain, is_segment, is_trust_domain

WHOLE: Final = SUBJECT_IDS[0]


def trust_domains(given: Any, file: Path, problems: list[str]) -> Mapping[str, TrustDomain]:
    """The trust domains of a settings file, by name."""
    unquoted = dict(_unquoted(given))
    problems += [f"{file}: [trust_domain.{name}]: {_quotes(name)}" for name in unquoted.values()]
    if unquoted and isinstance(given, dict):
        given = {name: table for name, table in given.items() if name not in unquoted}
    tables = list(named("trust_domain", given, file, problems)) if given or not unquoted else []
    found = {name: _trust_domain(name, table) for name, table in tables}
    for table, sentence in _confusions([(table, found[name]) for name, table in tables]):
        table.wrong(sentence)
    return found


def _trust_domain(name: str, table: Table) -> TrustDomain:
    if not is_trust_domain(name):
        table.wrong("a trust domain is written with a-z, 0-9, `.`, `_` and `-`, in quotes where it has dots")
    subject_type = table.text("subject_type")
    if not subject_type:
        table.wrong("`subject_type` must say which (wire) type its members have")
    patterns = tuple(tuple(each.split("/")[1:]) for each in table.texts("paths"))
    if not patterns:
        table.wrong('`paths` must list who counts, such as "/ns/*/sa/*"')
    if not all(map(_pattern, table.texts("paths"))):
        table.wrong("`paths` must list paths with a `/` in front, whose segments are plain, or `*` for any one segment")
    domain = TrustDomain(
        name,
        subject_type,
        patterns,
        table.one_of("subject_id", SUBJECT_IDS, WHOLE),
        table.read("ca_file", _authorities, ()),
        table.read("intermediates_file", _authorities, ()),
    )
    if domain.intermediates and not domain.roots:
        table.wrong("`intermediates_file` needs `ca_file`")
    table.close()
    return domain


def _unquoted(given: object) -> Iterator[tuple[str, str]]:
    """Tables that hold nothing but tables: a name whose dots TOML has taken for its own. First part, whole name."""
    for first, table in given.items() if isinstance(given, dict) else ():
        name = first
        while isinstance(table, dict) and table and all(isinstance(each, dict) for each in table.values()):
            part, table = next(iter(table.items()))
            name += f".{part}"
        if name != first:
            yield first, name


def _quotes(name: str) -> str:
    return f'a name with dots is written in quotes: [trust_domain."{name}"]'


def _pattern(text: str) -> bool:
    first, *segments = text.split("/")
    return not first and bool(segments) and all(each == ANY_SEGMENT or is_segment(each) for each in segments)


def _authorities(given: object, base: Path) -> tuple[bytes, ...]:
    from pdp.identity.chain import MAX_FILE_BYTES, authorities  # Heavy, and needed only where a file is named.

    where = path(given, base)
    try:
        content = regular(where, MAX_FILE_BYTES)
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    try:
        return authorities(content)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from error


def _confusions(domains: Iterable[tuple[Table, TrustDomain]]) -> list[tuple[Table, str]]:
    """Where two workloads would be one subject."""
    found: list[tuple[Table, str]] = []
    seen: dict[tuple[str, str], str] = {}
    for table, domain in domains:
        if domain.subject_id == WHOLE:
            continue
        if domain.subject_id == "last-segment" and not _told_apart_by_the_last(domain):
            found.append((table, '`subject_id = "last-segment"` needs one pattern with no `*` but in its last segment'))
        same = seen.setdefault((domain.subject_type, domain.subject_id), domain.name)
        if same != domain.name:
            found.append((table, f"could name the same subject as [trust_domain.{same}]; use `spiffe-id`"))
    return found


def _told_apart_by_the_last(domain: TrustDomain) -> bool:
    return len(domain.paths) == 1 and ANY_SEGMENT not in domain.paths[0][:-1]
