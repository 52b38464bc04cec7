"""`pdp audit report activity`: the review of information system activity, 45 CFR 164.308(a)(1)(ii)(D)."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, directory, recorded
from pdp.cli.failure import FINDINGS, USAGE, Failure
from pdp.cli.reading import raw
from pdp.cli.reporting import add_output, add_period, asked, clock, facts, finished, period, reading
from pdp.cli.sheet import Grid, Sheet, columns, emit

if TYPE_CHECKING:
    from pdp.audit.asking.within import Coverage
    from pdp.audit.leaf import Leaf
    from pdp.audit.reports.activity import Activity, Covered, Service

MAX_INVENTORY: Final = 4 << 20
_HOURS: Final = re.compile(r"([01]\d|2[0-4])(?::([0-5]\d))?-([01]\d|2[0-4])(?::([0-5]\d))?")
_EVERY: Final = re.compile(r"([1-9]\d{0,4})(m|h|d|w)")
_MICROSECONDS: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "activity",
        help="what went on: volumes, refusals, silence, and who read the log",
        description="The review of information system activity, 45 CFR 164.308(a)(1)(ii)(D).",
        epilog="exit codes: 0 made, 1 a service was silent, or is not in the inventory, 2 usage, 4 incomplete",
    )
    add_period(parser, "7d")
    parser.add_argument("--hours", metavar="07:00-19:00", default="07:00-19:00", help="the usual hours, in --zone")
    parser.add_argument("--inventory", metavar="FILE", default="", help="the services that must be seen (YAML or JSON)")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many of the most refused are named")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.asked import Asked
    from pdp.audit.asking.within import Coverage
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.activity import activity, covered

    now = clock()
    when = period(args, now)
    inventory = _inventory(args.inventory) if args.inventory else []
    off = _off(args.hours, when.zone)
    where = directory(args.directory)
    recorded(where, "audit.read", asked("report activity", when))
    coverage, progress = Coverage(when), Progress("records")

    def counted(leaves: Iterator[Leaf]) -> Iterator[Leaf]:
        for leaf in leaves:
            coverage.saw(leaf)
            yield leaf

    try:
        leaves = counted(reading(args, where, progress).asked(Asked(kinds=frozenset(), period=when), coverage))
        end = min(when.after, now)
        found = activity(leaves, end, lambda time: _local(time, when.zone).date().isoformat(), off)
        progress.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    services = covered(found, inventory, when, now, coverage.at)
    emit(_sheet(found, services if inventory else None, coverage, now, max(1, args.top)), args.output, args.all)
    return FINDINGS if inventory and (services.silent or services.strangers) else finished(coverage)


def _local(time: int, zone: Any) -> datetime:
    return (_EPOCH + timedelta(microseconds=time)).astimezone(zone)


def _off(hours: str, zone: Any) -> Callable[[int], bool]:
    """Is a moment outside these hours? They may go over midnight."""
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise Failure(f"--hours {hours}: they look like 07:00-19:00", code=USAGE)
    start, end = (int(found[at]) * 60 + int(found[at + 1] or 0) for at in (1, 3))

    def off(time: int) -> bool:
        local = _local(time, zone)
        minute = local.hour * 60 + local.minute
        return not (start <= minute < end if start <= end else minute >= start or minute < end)

    return off


# ---------------------------------------------------------------------------------------------------------- inventory


def _inventory(path: str) -> list[Service]:
    """`services: [{name, pep, client, silent_after}]`. Raises Failure."""
    import yaml

    data = raw(path, MAX_INVENTORY)
    try:
        said = yaml.safe_load(data) if len(data) <= MAX_INVENTORY else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(f"{path} is neither YAML nor JSON") from error
    services = said.get("services") if isinstance(said, Mapping) else None
    if not isinstance(services, list) or not services:
        raise Failure(f"{path}: it has to list `services`, each with a `name`", "docs/audit-reports.md has one")
    return [_service(each, path) for each in services]


def _service(said: Any, path: str) -> Service:
    from pdp.audit.reports.activity import Service

    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        raise Failure(f"{path}: a service without a `name`")
    name = said["name"]
    peps, clients = (_names(said.get(each), path, name) for each in ("pep", "client"))
    if "pep" not in said and "client" not in said:
        peps = clients = frozenset({name})
    every = said.get("silent_after", "")
    found = _EVERY.fullmatch(every) if isinstance(every, str) else None
    if every and found is None:
        raise Failure(f"{path}: {name}: `silent_after` is 15m, 12h, 7d or 2w")
    return Service(name, peps, clients, int(found[1]) * _MICROSECONDS[found[2]] if found else 0)


def _names(said: Any, path: str, service: str) -> frozenset[str]:
    found = [said] if isinstance(said, str) else [] if said is None else said
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Failure(f"{path}: {service}: `pep` and `client` are names, or lists of names")
    return frozenset(found)


# -------------------------------------------------------------------------------------------------------------- sheet


def _sheet(found: Activity, services: Covered | None, coverage: Coverage, now: int, top: int) -> Sheet:
    nothing = coverage.nothing(now)
    share = f"{100 * found.off_hours / found.decisions:.1f} %" if found.decisions else "-"
    head = [*facts(coverage, now), ("decisions", f"{found.decisions:,}, {found.allowed:,} allowed")]
    head += [("off hours", f"{found.off_hours:,} ({share})"), ("heartbeats", _hearts(found))]
    grids = [
        _counted("By day", "day", found.by_day, nothing, by_name=True),
        _counted("By door", "door", found.by_door, nothing),
        _counted("By enforcement point", "pep", found.by_pep, nothing),
        _counted("By effect", "effect", found.by_effect, nothing),
        _counted("By reason", "reason", found.by_reason, nothing),
        _counted("By verb", "verb", found.by_verb, nothing),
        _counted(f"Most refused subjects ({top})", "subject", _top(found.denied_subjects, top), "nobody was refused"),
        _counted(f"Most refused resources ({top})", "resource", _top(found.denied_resources, top), "none was refused"),
        _counted("Refused tokens", "issuer", found.refused_tokens, "none on record"),
        _counted("Unknown enforcement points", "door and name", found.unknown_peps, "none on record"),
        _policies(found, coverage, nothing),
        _events(found, coverage),
        _silence(found, coverage),
        _pairs("Reads of the log", "what", found.reads, "none on record, but for this one"),
        _pairs("Put on record by people and programs", "kind", found.told, "nothing"),
    ]
    if services is not None:
        grids += _services(services, coverage)
    return Sheet("Review of information system activity", head, grids, _data(found, services, coverage, now))


def _hearts(found: Activity) -> str:
    if not found.heartbeats:
        return "none: silence and peace cannot be told apart"
    return f"{found.heartbeats:,}, {len(found.gaps):,} gaps"


def _counted(title: str, what: str, counter: Mapping[Any, int], empty: str, by_name: bool = False) -> Grid:
    order = sorted(counter.items(), key=lambda each: str(each[0]) if by_name else (-each[1], str(each[0])))
    return Grid(title, columns(what, "times"), [[str(name), f"{times:,}"] for name, times in order], empty)


def _top(counter: Counter[Any], number: int) -> dict[Any, int]:
    return dict(counter.most_common(number))


def _policies(found: Activity, coverage: Coverage, nothing: str) -> Grid:
    rows = [
        [digest[:16], f"{number:,}", coverage.at(first), coverage.at(last)]
        for digest, (number, first, last) in sorted(found.policies.items(), key=lambda each: each[1][1])
    ]
    return Grid("Policy sets that decided", columns("digest", "decisions", "first", "last"), rows, nothing)


def _events(found: Activity, coverage: Coverage) -> Grid:
    rows = [
        [coverage.at(each.time), each.kind, [each.says], "not sealed yet" if each.index is None else str(each.index)]
        for each in found.events
    ]
    return Grid(
        "The log and the policies themselves", columns("when", "kind", "/says", "index"), rows, "no such record"
    )


def _silence(found: Activity, coverage: Coverage) -> Grid:
    rows = [[each.stream, coverage.at(each.start), coverage.at(each.end)] for each in found.gaps]
    empty = "none" if found.heartbeats else "there are no heartbeats in this period, so nobody can tell"
    return Grid("Gaps between heartbeats", columns("stream", "after", "before"), rows, empty)


def _pairs(title: str, what: str, counter: Counter[tuple[str, str]], empty: str) -> Grid:
    rows = [[by or "(not said)", name, f"{times:,}"] for (by, name), times in sorted(counter.items())]
    return Grid(title, columns("by", what, "times"), rows, empty)


def _services(services: Covered, coverage: Coverage) -> list[Grid]:
    spoke = [[name, coverage.at(first), coverage.at(last)] for name, first, last in services.spoke]
    return [
        Grid("SILENT services of the inventory", columns("service", "silent"), services.silent, "none"),
        Grid("Seen, and NOT in the inventory", columns("who"), [[each] for each in services.strangers], "none"),
        Grid("Services of the inventory that were seen", columns("service", "first", "last"), spoke, "none"),
    ]


def _data(found: Activity, services: Covered | None, coverage: Coverage, now: int) -> dict[str, Any]:
    from pdp.audit.asking.period import brief

    data: dict[str, Any] = {
        "report": "activity",
        "made": coverage.at(now),
        "coverage": coverage.members(now),
        "decisions": found.decisions,
        "allowed": found.allowed,
        "off_hours": found.off_hours,
    }
    for name in ("day", "door", "pep", "effect", "reason", "verb"):
        data[f"by_{name}"] = dict(sorted(getattr(found, f"by_{name}").items()))
    for name in ("denied_subjects", "denied_resources"):
        data[name] = {str(each): times for each, times in getattr(found, name).most_common()}
    data["refused_tokens"] = dict(found.refused_tokens)
    data["unknown_peps"] = dict(found.unknown_peps)
    data["policies"] = [
        {"digest": digest, "decisions": number, "first": brief(first), "last": brief(last)}
        for digest, (number, first, last) in found.policies.items()
    ]
    data["events"] = [
        {"at": brief(each.time), "kind": each.kind, "says": each.says, "index": each.index} for each in found.events
    ]
    data["heartbeats"] = found.heartbeats
    data["gaps"] = [
        {"stream": each.stream, "after": brief(each.start), "before": brief(each.end)} for each in found.gaps
    ]
    for name in ("reads", "told"):
        pairs = sorted(getattr(found, name).items())
        data[name] = [{"by": by, "what": what, "times": times} for (by, what), times in pairs]
    if services is not None:
        data["silent_services"] = [{"service": name, "silent": how} for name, how in services.silent]
        data["not_in_inventory"] = services.strangers
    return data
