"""`pdp test`: run the tests of a policy set, say what failed and why, and how much of the rules they have seen."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.loading import Loaded, checked, diagnosed
from pdp.cli.terminal import Paint, count, emit_json, paint, printable

if TYPE_CHECKING:
    from pdp.analyze.case import Case
    from pdp.analyze.coverage import Report, RuleCoverage
    from pdp.analyze.testing import Result
    from pdp.cli.main import Subparsers

MOST_UNCOVERED = 20


@dataclass(frozen=True, slots=True)
class Ran:
    """One test that ran, and how long it took."""

    result: Result
    seconds: float


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "test",
        help="run the tests of a policy set and measure their coverage",
        description="Run the tests in policy files and in JSON tables (tests/*.json). Each is decided by the compiled "
        "rules and again by the interpreter; if the two disagree, the test fails.",
    )
    parser.add_argument("path", metavar="PATH", help="a policy directory, or one policy file")
    parser.add_argument("--filter", metavar="TEXT", default="", help="only tests with TEXT in their title or file")
    parser.add_argument("--min-coverage", metavar="PERCENT", type=_percent, help="exit with 1 below this coverage")
    parser.add_argument("--uncovered", action="store_true", help=f"list all that is not covered, not {MOST_UNCOVERED}")
    parser.add_argument("--output", choices=("human", "json", "junit"), default="human")


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value


def run(args: argparse.Namespace) -> int:
    loaded, ran, report = tested(args.path, args.filter)
    failed = sum(not each.result.passed for each in ran)
    low = args.min_coverage is not None and report.percent < args.min_coverage
    if args.output == "json":
        emit_json(_document(ran, report))
    elif args.output == "junit":
        from pdp.cli.junit import document

        print(document(loaded.directory or args.path, ran))
    else:
        _print(ran, report, args, paint())
    return FINDINGS if failed or low else FINE


def tested(path: str, wanted: str) -> tuple[Loaded, list[Ran], Report]:
    """Load, run and measure. Raises Failure, also where there is no test."""
    from pdp.analyze.case import from_policy
    from pdp.analyze.coverage import Recorder
    from pdp.analyze.testing import run as run_tests
    from pdp.cli.tables import cases
    from pdp.compile.program import compile_program

    with diagnosed():
        loaded = checked(path)
        program = compile_program(loaded.policies)
    schema = loaded.policies.schema
    found = [*(from_policy(test, schema) for test in loaded.policies.tests), *cases(loaded.directory, schema)]
    chosen = [case for case in found if _matches(case, wanted)]
    if not chosen:
        raise Failure(
            f"no test of {path} has {wanted!r} in its title or file" if found else f"there are no tests in {path}",
            "" if found else "write `test` in policy files, or tables in tests/*.json: docs/cli.md",
        )
    recorder = Recorder(loaded.policies)
    return loaded, list(_timed(run_tests(program, chosen, recorder))), recorder.report()


def _matches(case: Case, wanted: str) -> bool:
    return wanted.casefold() in case.title.casefold() or wanted.casefold() in case.suite.casefold()


def _timed(results: Iterator[Result]) -> Iterator[Ran]:
    started = time.perf_counter()
    for result in results:
        ended = time.perf_counter()
        yield Ran(result, ended - started)
        started = time.perf_counter()


# Text -----------------------------------------------------------------------------------------------------------------


def _print(ran: list[Ran], report: Report, args: argparse.Namespace, colour: Paint) -> None:
    failed = [each.result for each in ran if not each.result.passed]
    for result in failed:
        print("\n".join(_failure(result, colour)))
        print()
    tests = count(len(ran), "test")
    print(colour("red", f"{len(failed)} of {tests} failed") if failed else colour("green", f"{tests} passed"))
    print("\n".join(_coverage(report, args, colour)))


def _failure(result: Result, colour: Paint) -> Iterator[str]:
    from pdp.analyze.report import explanation_text

    title, where = printable(result.case.title), printable(result.case.where)
    yield f"{colour('red', 'FAILED')} {colour('bold', title)}  {colour('dim', where)}"
    yield from (f"  {printable(each)}" for each in reasons(result))
    if result.explanation is not None:
        text = explanation_text(result.explanation, colour, most_rules=3)
        yield from (f"    {line}".rstrip() for line in text.splitlines())


def reasons(result: Result) -> Iterator[str]:
    """Why a test failed, one line each. A fault of ours comes first and says so."""
    for difference in result.disagreement:
        yield f"FAULT: the compiled rules and the interpreter disagree: {difference}"
    if result.fault:
        yield f"FAULT: the engine could not decide: {result.fault}"
    if result.problem:
        yield f"cannot run: {result.problem}"
    yield from result.failures


def _coverage(report: Report, args: argparse.Namespace, colour: Paint) -> Iterator[str]:
    rules = sum(each.satisfied and (each.unsatisfied or each.constant) for each in report.rules)
    atoms = [atom for each in report.rules for atom in each.atoms]
    both = sum(atom.seen_true and atom.seen_false for atom in atoms)
    low = args.min_coverage is not None and report.percent < args.min_coverage
    wanted = f" (at least {args.min_coverage:g} % wanted)" if low else ""
    yield (
        f"coverage {colour('red' if low else 'bold', shown(report.percent))}{wanted}: "
        f"{rules} of {count(len(report.rules), 'rule')} and {both} of {count(len(atoms), 'condition')} both ways"
    )
    missing = list(uncovered(report))
    most = len(missing) if args.uncovered else MOST_UNCOVERED
    yield from (f"  {each}" for each in missing[:most])
    if len(missing) > most:
        yield f"  and {len(missing) - most} more (--uncovered lists them)"


def shown(percent: float) -> str:
    """One place, cut off: 99.96 is not yet 100."""
    return f"{int(percent * 10) / 10:.1f} %"


def uncovered(report: Report) -> Iterator[str]:
    """What no test has seen, rule by rule."""
    for rule in report.rules:
        lack = _lack(rule)
        if lack:
            yield f"{rule.where}: {rule.effect} {rule.id} {lack}"
        for atom in rule.atoms:
            sides = [side for side, seen in (("true", atom.seen_true), ("false", atom.seen_false)) if not seen]
            if sides:
                yield f"{atom.where}: {rule.id}: never {' or '.join(sides)}: {atom.text}"


def _lack(rule: RuleCoverage) -> str:
    """What the tests have not seen of a rule as a whole, or nothing."""
    if not rule.satisfied and not rule.unsatisfied:
        return "was never evaluated to true or false" if rule.erred else "is asked about by no test"
    if not rule.satisfied:
        return "is never satisfied"
    if rule.unsatisfied or rule.constant:
        return ""
    return "is never unsatisfied" if rule.erred else "is always satisfied"


# JSON -----------------------------------------------------------------------------------------------------------------


def _document(ran: list[Ran], report: Report) -> dict[str, Any]:
    return {
        "passed": sum(each.result.passed for each in ran),
        "failed": sum(not each.result.passed for each in ran),
        "tests": [_test(each) for each in ran],
        "coverage": {
            "percent": int(report.percent * 10) / 10,
            "covered": report.covered,
            "total": report.total,
            "rules": [
                {
                    "id": rule.id,
                    "effect": rule.effect,
                    "where": rule.where,
                    "satisfied": rule.satisfied,
                    "unsatisfied": rule.unsatisfied,
                    "constant": rule.constant,
                    "conditions": [
                        {
                            "text": atom.text,
                            "where": atom.where,
                            "clause": atom.clause,
                            "true": atom.seen_true,
                            "false": atom.seen_false,
                        }
                        for atom in rule.atoms
                    ],
                }
                for rule in report.rules
            ],
        },
    }


def _test(ran: Ran) -> dict[str, Any]:
    from pdp.analyze.report import decision_json, explanation_json

    result = ran.result
    return {
        "title": result.case.title,
        "file": result.case.suite,
        "where": result.case.where,
        "passed": result.passed,
        "failures": list(reasons(result)),
        "got": None if result.decision is None else decision_json(result.decision),
        "explanation": None if result.explanation is None else explanation_json(result.explanation),
    }
