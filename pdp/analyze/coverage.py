"""What the tests of a policy set have seen: each rule satisfied and not, each atomic condition true and false.

A rule or an atom that could not be evaluated counts for neither side. Kleene logic has no order, so every atom is asked
in every test that reaches its rule, also where another one has settled the whole. Constants have one side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pdp.analyze import words
from pdp.analyze.reference import rules_for
from pdp.analyze.tree import Truth, atoms, tree
from pdp.language import core
from pdp.language.schema import Schema
from pdp.model.frame import Frame

Place = tuple[str, str, tuple[int, ...]]  # rule id, "when" or "release", place in the condition


@dataclass(frozen=True, slots=True)
class AtomCoverage:
    """An atomic condition: in which texts it was seen true, seen false."""

    text: str
    where: str
    clause: str  # "when" or "release"
    seen_true: bool
    seen_false: bool


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """`constant`: the rule has no condition, so that it can only be satisfied. `erred`: it could not be evaluated once.

    Neither satisfied nor unsatisfied nor erred: no test asks for what the rule speaks about.
    """

    id: str
    effect: str
    where: str
    satisfied: bool
    unsatisfied: bool
    erred: bool
    constant: bool
    atoms: tuple[AtomCoverage, ...]

    @property
    def total(self) -> int:
        return (1 if self.constant else 2) + 2 * len(self.atoms)

    @property
    def covered(self) -> int:
        sides = self.satisfied + (self.unsatisfied and not self.constant)
        return sides + sum(each.seen_true + each.seen_false for each in self.atoms)


@dataclass(frozen=True, slots=True)
class Report:
    rules: tuple[RuleCoverage, ...]

    @property
    def total(self) -> int:
        return sum(each.total for each in self.rules)

    @property
    def covered(self) -> int:
        return sum(each.covered for each in self.rules)

    @property
    def percent(self) -> float:
        """Of all sides; 100 where there is nothing to cover. Never rounded up to 100."""
        return 100.0 * self.covered / self.total if self.total else 100.0


@dataclass(slots=True)
class Recorder:
    """Gathers what the tests see. One for a whole run."""

    policies: core.PolicySet
    _rules: dict[str, set[Truth]] = field(default_factory=dict)
    _atoms: dict[Place, set[Truth]] = field(default_factory=dict)

    def see(self, action: str, resource_type: str, frame: Frame) -> None:
        """Look at every rule of the pair in this frame."""
        for rule in rules_for(self.policies, action, resource_type):
            self._rules.setdefault(rule.id, set()).add(self._look(rule.id, "when", rule.condition, frame))
            if rule.release is not None and rule.release.condition is not None:
                self._look(rule.id, "release", rule.release.condition, frame)

    def _look(self, rule: str, clause: str, condition: core.Expr, frame: Frame) -> Truth:
        root = tree(condition, frame, self.policies.schema.codes)
        for node in root.walk():
            if node.kind == "atom":
                self._atoms.setdefault((rule, clause, node.path), set()).add(node.truth)
        return root.truth

    def report(self) -> Report:
        return Report(tuple(self._of(rule) for rule in self.policies.rules if rule.effect != "emergency"))

    def _of(self, rule: core.Rule) -> RuleCoverage:
        seen = self._rules.get(rule.id, set())
        release = rule.release.condition if rule.release is not None else None
        found = [*self._clause(rule.id, "when", rule.condition)]
        if release is not None:
            found += self._clause(rule.id, "release", release)
        return RuleCoverage(
            rule.id,
            rule.effect,
            rule.header.where,
            Truth.TRUE in seen,
            Truth.FALSE in seen,
            Truth.ERROR in seen,
            isinstance(rule.condition, core.Literal),
            tuple(found),
        )

    def _clause(self, rule: str, clause: str, condition: core.Expr) -> Iterable[AtomCoverage]:
        schema: Schema = self.policies.schema
        for path, atom in atoms(condition):
            seen = self._atoms.get((rule, clause, path), set())
            yield AtomCoverage(
                words.expression(atom, schema), atom.span.where, clause, Truth.TRUE in seen, Truth.FALSE in seen
            )
