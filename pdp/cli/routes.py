"""`pdp routes`: the routes of a policy set, or what one HTTP request maps to and why not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.loading import checked, diagnosed
from pdp.cli.terminal import emit_json, paint, printable
from pdp.language.escapes import quoted

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers
    from pdp.doors.route import Match
    from pdp.language.core import QueryParameter, Route, Target

_WHY: Final = {
    "no-route": "no route has this path",
    "no-route-for-method": "a route has this path, but not this method",
    "no-route-for-query": "a route has this path, but not these query parameters",
    "too-long": "the target is too long",
    "too-many-segments": "the path has too many segments",
    "not-absolute": "the path does not begin with `/`",
    "empty-segment": "the path has an empty segment: `//`, or a slash at its end",
    "matrix-parameter": "the path holds `;`, which servers read in different ways",
    "backslash": "the path holds a backslash",
    "malformed": "the path holds a character that has to be encoded, or a broken `%` escape",
    "dot-segment": "the path holds `.` or `..` as a segment",
    "encoded-delimiter": "a decoded part holds a delimiter: an encoded slash, or a double encoding",
    "not-utf-8": "a decoded part is not UTF-8",
    "not-normal": "a decoded part has look-alike characters (it is not in the normal form NFKC)",
    "control-character": "a decoded part holds a control character",
    "query-separator": "the query holds `;`, which some servers read as `&`",
    "malformed-query": "the query holds a character that has to be encoded, or a parameter without a name",
    "too-many-parameters": "the query has too many parameters",
    "duplicate-parameter": "the query has one parameter twice",
}


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "routes",
        help="list the routes, or say what an HTTP request maps to",
        description="List the routes of a policy set; with METHOD and TARGET, say what that request maps to.",
    )
    parser.add_argument("path", metavar="PATH", help="a policy directory, or one policy file")
    parser.add_argument("method", metavar="METHOD", nargs="?", help="GET, POST, ...")
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="the raw path and query: /fhir/Record/r1?_summary=a"
    )
    parser.add_argument("--output", choices=("human", "json"), default="human")


def run(args: argparse.Namespace) -> int:
    with diagnosed():
        policies = checked(args.path).policies
    if args.method is None:
        _list(sorted(policies.routes, key=lambda route: (path_text(route), sorted(route.methods))), args.output)
        return FINE
    if args.target is None:
        raise Failure(
            f"METHOD {args.method} without a TARGET", "such as: pdp routes policies/hospital GET /fhir/Record/r1"
        )
    return _map(policies, args)


def _map(policies: Any, args: argparse.Namespace) -> int:
    from pdp.doors.route import NoRoute, Table

    path, _, query = args.target.partition("?")
    try:
        match = Table(policies.routes, policies.schema).match(
            args.method, path.encode("utf-8", "surrogateescape"), query.encode("utf-8", "surrogateescape")
        )
    except NoRoute as error:
        _print_none(error.kind, args)
        return FINDINGS
    if args.output == "json":
        emit_json(_match_json(match))
    else:
        print("\n".join(_match_text(match)))
    return FINE


def _print_none(kind: str, args: argparse.Namespace) -> None:
    if args.output == "json":
        emit_json({"route": None, "reason": kind})
        return
    print(f"{paint()('red', 'no route')}: {_WHY.get(kind, kind)} ({kind})")
    print("  no route, no access")


def _match_text(match: Match) -> list[str]:
    lines = [
        f"{paint()('green', ' and '.join(match.actions))} on {match.resource_type}:{printable(match.resource_id)}",
        f"  route        {route_text(match.route)}  {match.route.span.where}",
    ]
    lines += [f"  claims       {name} = {printable(str(value))}" for name, value in (match.claims or {}).items()]
    if match.searched_fields:
        lines.append(f"  searches     {', '.join(sorted(match.searched_fields))}")
    if len(match.actions) > 1:
        lines.append("  all of these actions have to be permitted")
    return lines


def _match_json(match: Match) -> dict[str, Any]:
    return {
        "route": _route_json(match.route),
        "actions": list(match.actions),
        "resource": {"type": match.resource_type, "id": match.resource_id},
        "claims": dict(match.claims or {}),
        "searched_fields": sorted(match.searched_fields),
    }


def _list(routes: list[Route], output: str) -> None:
    if output == "json":
        emit_json({"routes": [_route_json(each) for each in routes]})
        return
    for each in routes:
        print(f"{route_text(each)}  {paint()('dim', each.span.where)}")
    if not routes:
        print("there are no routes: no HTTP request maps to anything")


def path_text(route: Route) -> str:
    return "/" + "/".join(f"{{{each.text}}}" if each.parameter else each.text for each in route.segments)


def route_text(route: Route) -> str:
    """One line, much as it is written."""
    methods = ", ".join(sorted(route.methods))
    line = f"{methods} {quoted(path_text(route))} does {', '.join(route.actions)} on {_target(route.resource)}"
    if route.claims:
        line += " with " + ", ".join(f"{name} = {_target(target)}" for name, target in route.claims)
    if route.query:
        line += " query " + ", ".join(map(_parameter, route.query))
    return line


def _parameter(each: QueryParameter) -> str:
    searches = f" searches {', '.join(sorted(each.fields))}" if each.fields else ""
    return f"{quoted(each.name)}{'?' if each.optional else ''}{searches}"


def _target(target: Target) -> str:
    value = target.parameter or quoted(target.literal)
    return f"{target.type} {value}" if target.type else value


def _route_json(route: Route) -> dict[str, Any]:
    return {
        "methods": sorted(route.methods),
        "path": path_text(route),
        "actions": list(route.actions),
        "resource": {"type": route.resource.type, "parameter": route.resource.parameter, "id": route.resource.literal},
        "claims": {name: _target(target) for name, target in route.claims},
        "query": [
            {"name": each.name, "optional": each.optional, "searches": sorted(each.fields)} for each in route.query
        ],
        "where": route.span.where,
    }
