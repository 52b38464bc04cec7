"""`[sessions]`: how long a session may go on. `[transmitter.NAME]`: who may tell us that one has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.config.issuers import signer
from pdp.config.reading import Table, named
from pdp.doors.stepup import ALLOWED, StepUp
from pdp.identity.issuer import Issuer
from pdp.identity.sessions import Limits
from pdp.identity.transmitter import Transmitter

DAY: Final = 86_400
YEAR: Final = 366 * DAY


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What `[sessions]` says."""

    limits: Limits = field(default_factory=Limits)
    by_issuer: Mapping[str, Limits] = field(default_factory=dict)  # by the NAME of [issuer.NAME]
    remember_seconds: int = 30 * DAY
    unread_seconds: int = 60
    in_memory: int = 50_000
    revocations_file: Path | None = None
    step_up: StepUp = field(default_factory=StepUp)

    def warnings(self, issuers: Iterable[Issuer]) -> list[str]:
        """What is weaker than it could be."""
        found = []
        for each in issuers:
            limits = self.by_issuer.get(each.name, self.limits)
            for word, seconds in (("idle", limits.idle_seconds), ("old", limits.absolute_seconds)):
                if not seconds:
                    found.append(f"a session of [issuer.{each.name}] ends never for being {word}, only when revoked")
        return found

    def by_iss(self, issuers: Iterable[Issuer]) -> dict[str, Limits]:
        """The limits of single issuers, by what their tokens call them: of two sections with one name, the stricter."""
        found: dict[str, Limits] = {}
        for each in issuers:
            if each.name in self.by_issuer:
                limits = self.by_issuer[each.name]
                found[each.issuer] = _stricter(found.get(each.issuer, limits), limits)
        return found


def _stricter(one: Limits, other: Limits) -> Limits:
    def least(*seconds: int) -> int:
        return min((each for each in seconds if each), default=0)

    return Limits(least(one.idle_seconds, other.idle_seconds), least(one.absolute_seconds, other.absolute_seconds))


def sessions(given: Any, file: Path, problems: list[str]) -> SessionSettings:
    if not isinstance(given, Mapping):
        problems.append(f"{file}: `sessions` must be a table: [sessions]")
        return SessionSettings()
    table = Table(f"{file}: [sessions]", given, file.parent, problems)
    usual = _limits(table, Limits())
    made = SessionSettings(
        usual,
        _by_issuer(given["issuer"], usual, file, problems) if "issuer" in table else {},
        table.number("remember_seconds", 30 * DAY, DAY, YEAR),
        table.number("unread_seconds", 60, 1, 3_600),
        table.number("in_memory", 50_000, 100, 10_000_000),
        table.path("revocations_file"),
        _step_up(table),
    )
    table.close()
    return made


def _limits(table: Table, usual: Limits) -> Limits:
    return Limits(
        table.number("idle_seconds", usual.idle_seconds, 0, YEAR),
        table.number("absolute_seconds", usual.absolute_seconds, 0, YEAR),
    )


def _by_issuer(given: Any, usual: Limits, file: Path, problems: list[str]) -> dict[str, Limits]:
    found = {}
    for name, table in named("sessions.issuer", given, file, problems):
        found[name] = _limits(table, usual)
        table.close()
    return found


def _step_up(table: Table) -> StepUp:
    found = StepUp(
        table.texts("step_up_acr_values"),
        table.texts("step_up_amr_values"),
        table.number("step_up_max_age_seconds", 0, 0, YEAR),
    )
    for key, values in (("step_up_acr_values", found.acr_values), ("step_up_amr_values", found.amr_values)):
        if not all(ALLOWED.issuperset(each) for each in values):
            table.wrong(f"`{key}` must list values of visible ASCII without quotes, backslashes and commas")
    return found


def transmitters(given: Any, file: Path, problems: list[str]) -> tuple[Transmitter, ...]:
    """The transmitters of a settings file."""
    found = []
    for name, table in named("transmitter", given, file, problems):
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            table.wrong("its name is part of a URL: letters, digits, `-` and `_`")
        made = signer(name, table)
        subjects = table.texts("issuers", (made.issuer,), alone=True)
        if not subjects:
            table.wrong("`issuers` must list whose subjects it may speak of")
        secret = table.secret("secret_file")
        found.append(Transmitter(made, frozenset(subjects), secret, table.number("max_age_seconds", 7 * DAY, 60, YEAR)))
        table.close()
    return tuple(found)


def contradictions(
    settings: SessionSettings, transmitters: Collection[Transmitter], issuers: Collection[Issuer]
) -> list[str]:
    """What the sections may not say together."""
    names = {each.name for each in issuers}
    found = [
        f"[sessions.issuer.{name}]: there is no [issuer.{name}]" for name in sorted(settings.by_issuer.keys() - names)
    ]
    spoken_of = {each.issuer for each in issuers}
    found += [
        f"[transmitter.{each.name}]: `issuers` names {name!r}, which is `issuer` of no [issuer.NAME]"
        for each in transmitters
        for name in sorted(each.subjects - spoken_of)
    ]
    remember = settings.remember_seconds
    # What is forgotten too early comes back: a revoked token, an ended session, an event that is sent again.
    longest = {
        "absolute_seconds": max(each.absolute_seconds for each in (settings.limits, *settings.by_issuer.values())),
        "idle_seconds": max(each.idle_seconds for each in (settings.limits, *settings.by_issuer.values())),
        **{f"[issuer.{each.name}] max_lifetime_seconds": each.max_lifetime_seconds for each in issuers},
        **{f"[transmitter.{each.name}] max_age_seconds": each.max_age_seconds for each in transmitters},
    }
    return found + [
        f"[sessions]: `remember_seconds` ({remember}) is less than {name} ({seconds})"
        for name, seconds in longest.items()
        if seconds > remember
    ]
