"""The request of `eval` and `explain`: AuthZEN JSON from a file or stdin, or put together from flags."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pdp.cli import given
from pdp.cli.failure import Failure

if TYPE_CHECKING:
    from pdp.language.schema import Schema
    from pdp.model.decision import Capabilities
    from pdp.model.request import Request

MAX_REQUEST_BYTES: Final = 1 << 20

_EXAMPLE: Final = """\
examples:
  pdp {command} policies/hospital --request request.json
  pdp {command} policies/hospital --subject user:osei --action read --resource Record:r1 \\
      --context '{{"purpose": "TREAT"}}' --now 2026-03-04T16:00:00Z

The request is trusted to assert every attribute that is declared `from caller`. What another place owns (a token, the
data) is discarded and named; give tokens and certificates with --token and --certificate, as verified claims.
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """`discarded`: attributes that were offered by a place that does not own them."""

    request: Request
    discarded: tuple[str, ...]
    now: int
    capabilities: Capabilities


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE.format(command=command)
    parser.add_argument("path", metavar="PATH", help="a policy directory, or one policy file (then without data)")
    whole = parser.add_argument_group("the request, whole")
    whole.add_argument("--request", metavar="FILE", help="AuthZEN JSON: subject, action, resource, context; - is stdin")
    part = parser.add_argument_group("the request, in parts (each replaces what --request says)")
    part.add_argument("--subject", type=given.name, metavar="TYPE:ID")
    part.add_argument("--action", metavar="NAME")
    part.add_argument("--resource", type=given.name, metavar="TYPE:ID")
    for name in ("context", "subject-properties", "action-properties", "resource-properties"):
        part.add_argument(f"--{name}", metavar="JSON")
    part.add_argument("--searching", metavar="POINTER,..", help="fields that the request filters or sorts by")
    world = parser.add_argument_group("what is established elsewhere")
    world.add_argument("--token", metavar="JSON", help="the claims of a verified token (without it: no token)")
    world.add_argument("--certificate", metavar="JSON", help="what a verified certificate says (without it: none)")
    world.add_argument("--route", metavar="JSON", help="what the route says about the resource")
    world.add_argument("--now", metavar="TIME", help="RFC 3339, 2026-03-01T10:00:00Z (without it: the clock)")
    world.add_argument(
        "--can",
        metavar="WHAT",
        default="all",
        help="what the enforcement point can carry out: all, none, or names of obligations and `fields`, with commas",
    )


def asking(args: argparse.Namespace, schema: Schema) -> Asking:
    """The question that the options put. Raises Failure."""
    from pdp.decide.admit import admit

    request, discarded = admit(_request(args), schema, frozenset({"*"}))
    return Asking(request, discarded, _now(args.now), _capabilities(args.can, schema))


def _request(args: argparse.Namespace) -> Request:
    request = _with_parts(_base(args.request), args)
    for name in ("subject", "action", "resource"):
        if not getattr(request, "action" if name == "action" else f"{name}_type"):
            raise Failure(f"the request has no {name}", f"give --request FILE, or --{name}")
    return replace(
        request,
        token=_object(args.token, "--token"),
        certificate=_object(args.certificate, "--certificate"),
        route=_object(args.route, "--route"),
        searched_fields=frozenset(filter(None, (args.searching or "").split(","))),
    )


def _base(file: str | None) -> Request:
    """What --request says; without it, a request that says nothing."""
    from pdp.doors.authzen import read_evaluation
    from pdp.model.request import Request, RequestError

    if file is None:
        return Request("", "", "", "", "")
    try:
        return read_evaluation(b"application/json", _bytes(file))
    except RequestError as error:
        raise Failure(f"the request cannot be read: {error}", "docs/cli.md shows one") from error


def _with_parts(request: Request, args: argparse.Namespace) -> Request:
    """The request with the options' parts in the place of its own."""
    parts: dict[str, Any] = {}
    for name in ("subject", "resource"):
        if getattr(args, name) is not None:
            parts[f"{name}_type"], parts[f"{name}_id"] = _reference(getattr(args, name), f"--{name}")
            parts[f"{name}_properties"] = {}
    if args.action is not None:
        parts |= {"action": args.action, "action_properties": {}}
    for name in ("subject_properties", "action_properties", "resource_properties", "context"):
        said = _object(getattr(args, name), f"--{name.replace('_', '-')}")
        if said is not None:
            parts[name] = said
    return replace(request, **parts)


def _reference(text: str, option: str) -> tuple[str, str]:
    type_name, _, identifier = text.partition(":")
    if not type_name or not identifier:
        raise Failure(f"{option} {text!r} is not TYPE:ID", f"such as {option} user:nina")
    return type_name, identifier


def _object(text: str | None, option: str) -> dict[str, Any] | None:
    """A JSON object from an option; None where it is not given."""
    from pdp.model.request import RequestError, strict_json

    if text is None:
        return None
    try:
        value = strict_json(text)
    except RequestError as error:
        raise Failure(f"{option}: {error}", 'the shell takes quotes away: write \'{"purpose": "TREAT"}\'') from error
    if not isinstance(value, dict):
        raise Failure(f"{option}: must be a JSON object")
    return value


def _bytes(file: str) -> bytes:
    from pdp.cli.reading import raw

    data = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1) if file == "-" else raw(file, MAX_REQUEST_BYTES)
    if len(data) > MAX_REQUEST_BYTES:
        raise Failure("the request is larger than 1 MiB")
    return data


def _now(text: str | None) -> int:
    from pdp.language.wire import IllTyped, instant

    if text is None:
        return time.time_ns() // 1000
    try:
        return instant(text)
    except IllTyped as error:
        raise Failure(f"--now: {error.message}") from error


def _capabilities(text: str, schema: Schema) -> Capabilities:
    """`all`, `none`, or the names; a name that no obligation has is refused, for it would deny in silence."""
    from pdp.model.decision import NO_CAPABILITIES, Capabilities

    if text == "all":
        return Capabilities(True, frozenset(schema.obligations))
    if text == "none":
        return NO_CAPABILITIES
    names = frozenset(filter(None, text.split(",")))
    unknown = sorted(names - {"fields"} - set(schema.obligations))
    if unknown:
        known = ", ".join(["fields", *sorted(schema.obligations)])
        raise Failure(f"--can: there is no obligation {unknown[0]!r}", f"there are {known}")
    return Capabilities("fields" in names, names - {"fields"})
