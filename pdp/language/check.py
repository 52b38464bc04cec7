"""A policy set's surface trees to its typed core: all names found, all types fitting, or every finding at once.

The order of files and declarations never matters (LANGUAGE section 1): files are taken by name, rules come out by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import NOWHERE
from pdp.language import ast, core, declarations, defines
from pdp.language.expressions import Expressions
from pdp.language.findings import Findings
from pdp.language.lint import Lint
from pdp.language.names import Names
from pdp.language.routes import Routes
from pdp.language.rules import Rules
from pdp.language.testcases import TestCases

MAX_FILES: Final = 10_000
MAX_CHARACTERS: Final = 64 << 20
MAX_RULES: Final = 20_000


def policies(modules: Sequence[ast.Module], *, notes: bool = False) -> tuple[core.PolicySet, tuple[Diagnostic, ...]]:
    """The checked policy set, and its warnings (`notes`: and notes). Raises PolicyError with every finding."""
    findings = Findings()
    modules = sorted(modules, key=lambda module: module.source.name)
    _limits(modules, findings)
    if findings.erred:
        raise PolicyError(findings.sorted())
    world = declarations.world(Names(modules, findings), findings)
    expressions = Expressions(world)
    defines.check(expressions)
    rules = Rules(world, expressions)
    checked = sorted(rules.check(), key=lambda rule: rule.id)
    routes = Routes(world).check()
    tests = TestCases(world, rules, frozenset(rule.id for rule in checked)).check()
    invariants = rules.invariants()
    if not findings.erred:
        Lint(world, rules.every).check(checked, notes=notes)
    if findings.erred:
        raise PolicyError(findings.sorted())
    found = core.PolicySet(world.schema, tuple(checked), tuple(routes), tuple(tests), tuple(invariants))
    return found, findings.sorted()


def _limits(modules: Sequence[ast.Module], findings: Findings) -> None:
    """LANGUAGE section 13, for what is counted over the whole set."""
    if len(modules) > MAX_FILES:
        findings.error("too-large", modules[MAX_FILES].span, f"more than {MAX_FILES} files", "join or split the set")
    if sum(len(module.source.text) for module in modules) > MAX_CHARACTERS:
        span = modules[-1].span if modules else NOWHERE
        findings.error("too-large", span, f"more than {MAX_CHARACTERS >> 20} MiB of policies", "split the set")
    rules = (each for module in modules for each in module.declarations if isinstance(each, ast.RuleDecl))
    for number, rule in enumerate(rules):
        if number == MAX_RULES:
            findings.error("too-large", rule.header, f"more than {MAX_RULES} rules", "let rules speak about groups")
