"""Failing closed, in one place: what each rule's outcome does, and what the whole of them answers.

===========  ============================  =============  =======================================================
rule         satisfied                     not satisfied  cannot be evaluated (always recorded)
===========  ============================  =============  =======================================================
permit       permits                       nothing        does not permit
forbid       denies                        nothing        **denies**
mask         its fields stay               nothing        **its fields stay**; if the fields cannot be told: denies
no permit    deny: `no_rule`, or `indeterminate` where some permit could not be evaluated
===========  ============================  =============  =======================================================

Two steps, since only the first may be cached (SEMANTICS 24): `policy_result` is what the rules say, `decision` is that
after the profile of the enforcement point. The one place that makes an allow is the last line of `decision`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from pdp.language.semantics import EvaluationError
from pdp.model.decision import (
    FOREVER,
    Capabilities,
    Decision,
    Effect,
    Fields,
    Grant,
    Obligation,
    PdpFault,
    PolicyResult,
    Reason,
    Refusal,
    RuleError,
)
from pdp.model.frame import Frame

if TYPE_CHECKING:
    from pdp.compile.program import CompiledRule

UNDECLARED: Final = PolicyResult(undeclared=True)

_POINTER: Final = re.compile(r"(?:/(?:[^/~]|~[01])*)*", re.DOTALL)
_by_rule = attrgetter("rule")


def policy_result(
    satisfied: Sequence[CompiledRule],
    erred: Sequence[tuple[CompiledRule, EvaluationError]],
    frame: Frame,
    valid_until: int = FOREVER,
) -> PolicyResult:
    """The table's rows, one rule after the other. Raises PdpFault for an effect that the table does not have."""
    tally = _Tally(frame)
    for rule in satisfied:
        if rule.effect == "permit":
            tally.permit(rule)
        elif rule.effect == "forbid":
            tally.refusals.append(rule.refusal or Refusal(rule.id))
        elif rule.effect == "mask":
            tally.mask(rule)
        else:
            raise PdpFault(f"no row in the table for a {rule.effect}")
    for rule, error in erred:
        tally.error(rule, error)
        if rule.effect == "permit":
            tally.permit_erred = True
        elif rule.effect == "forbid":
            tally.refusals.append(rule.refusal_erred or Refusal(rule.id, erred=True))
        elif rule.effect == "mask":
            tally.mask(rule)
        else:
            raise PdpFault(f"no row in the table for a {rule.effect}")
    return tally.result(valid_until)


class _Tally:
    """What the rules looked at so far have come to."""

    __slots__ = ("errors", "frame", "grants", "masks", "permit_erred", "refusals", "void_masks")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.grants: list[Grant] = []
        self.refusals: list[Refusal] = []
        self.masks: list[tuple[str, frozenset[str]]] = []
        self.void_masks: list[str] = []
        self.errors: list[RuleError] = []
        self.permit_erred = False

    def permit(self, rule: CompiledRule) -> None:
        """A permit that applies. If what it releases or requires cannot be told, it has erred (SEMANTICS 18, 19)."""
        grant = rule.grant
        if grant is None:
            try:
                grant = rule.contribution(self.frame)
            except EvaluationError as error:
                self.permit_erred = True
                self.error(rule, error)
                return
            self.errors.extend(grant.errors)
        self.grants.append(grant)

    def mask(self, rule: CompiledRule) -> None:
        """A mask that applies, or may: it restricts. If its fields cannot be told, nothing may leave."""
        try:
            self.masks.append((rule.id, rule.masked(self.frame)))
        except EvaluationError as error:
            self.void_masks.append(rule.id)
            self.error(rule, error)

    def error(self, rule: CompiledRule, error: EvaluationError) -> None:
        self.errors.append(RuleError(rule.id, error.code, error.message, error.span.where))

    def result(self, valid_until: int) -> PolicyResult:
        return PolicyResult(
            grants=tuple(sorted(self.grants, key=_by_rule)),
            refusals=tuple(sorted(self.refusals, key=_by_rule)),
            masks=tuple(sorted(self.masks, key=lambda mask: mask[0])),
            void_masks=tuple(sorted(self.void_masks)),
            errors=tuple(sorted(self.errors, key=lambda error: (error.rule, error.where, error.code))),
            permit_erred=self.permit_erred,
            # What could not be evaluated may come back at any moment, so nobody may keep this answer.
            valid_until=self.frame.now if self.errors else valid_until,
        )


def decision(
    result: PolicyResult,
    capabilities: Capabilities,
    searched_fields: frozenset[str] = frozenset(),
    program_digest: str = "",
    data_revision: str = "",
) -> Decision:
    """The answer that leaves, to an enforcement point that can do no more than `capabilities` says.

    `searched_fields`: what the request filters or sorts by. From the strongest reason to deny to the weakest; a reason
    that tells of a mask or of a duty is given only to who would be permitted (SEMANTICS 28).
    """

    def deny(reason: Reason, rules: Iterable[str] = (), refusals: tuple[Refusal, ...] = ()) -> Decision:
        return Decision(
            effect=Effect.DENY,
            reason=reason,
            rules=tuple(sorted(set(rules))),
            errors=result.errors,
            refusals=refusals,
            valid_until=result.valid_until,
            program_digest=program_digest,
            data_revision=data_revision,
        )

    if result.undeclared:
        return deny(Reason.UNDECLARED)
    if result.refusals:
        otherwise = _otherwise_permitted(result, capabilities, searched_fields)
        return deny(Reason.FORBIDDEN, (each.rule for each in result.refusals), told(result.refusals, otherwise))
    if not result.grants:
        return deny(Reason.INDETERMINATE if result.permit_erred else Reason.NO_RULE)
    if result.void_masks:
        return deny(Reason.MASKED, result.void_masks)
    masked = frozenset().union(*(pointers for _, pointers in result.masks))
    if masked and not capabilities.fields:
        return deny(Reason.UNSUPPORTED, (rule for rule, pointers in result.masks if pointers))
    grants = [grant for grant in result.grants if carried(grant, capabilities)]
    if not grants:
        return deny(Reason.UNSUPPORTED, (grant.rule for grant in result.grants))
    fields = Fields(_released(grants), masked)
    if fields.limited and searched_fields and not all(_searchable(field, fields) for field in searched_fields):
        return deny(Reason.MASKED, _that_hide(searched_fields, result, grants))
    return Decision(
        effect=Effect.ALLOW,
        reason=Reason.PERMITTED,
        rules=tuple(grant.rule for grant in grants),
        errors=result.errors,
        obligations=_obligations(grants),
        fields=fields,
        valid_until=result.valid_until,
        program_digest=program_digest,
        data_revision=data_revision,
    )


def carried(grant: Grant, capabilities: Capabilities) -> bool:
    """Can the enforcement point do what this permit asks of it? If not, it contributes nothing (SEMANTICS 19)."""
    if grant.fields is not None and not capabilities.fields:
        return False
    return all(duty.name in capabilities.obligations for duty in grant.obligations if duty.binding)


def told(refusals: tuple[Refusal, ...], otherwise_permitted: bool) -> tuple[Refusal, ...]:
    """What may be told of the refusals: a cure only if each of them has one, and it would help (SEMANTICS 28).

    One that could not be evaluated has none: nobody knows what would change it.
    """
    if otherwise_permitted and _curable(refusals):
        return refusals
    return tuple(replace(refusal, cures=()) if refusal.cures else refusal for refusal in refusals)


def _curable(refusals: tuple[Refusal, ...]) -> bool:
    return all(refusal.cures and not refusal.erred for refusal in refusals)


def _otherwise_permitted(result: PolicyResult, capabilities: Capabilities, searched_fields: frozenset[str]) -> bool:
    """Without its forbids, would the answer be a permit for this enforcement point? Else a cure promises too much.

    Asked only where there is something to tell: most denials have no cure.
    """
    if not _curable(result.refusals):
        return False
    return decision(replace(result, refusals=()), capabilities, searched_fields).allowed


def _released(grants: list[Grant]) -> frozenset[str] | None:
    """The union of what the permits release; None, everything, as soon as one of them has no limit."""
    released: set[str] = set()
    for grant in grants:
        if grant.fields is None:
            return None
        released |= grant.fields
    return frozenset(released)


def _obligations(grants: list[Grant]) -> tuple[Obligation, ...]:
    if len(grants) == 1:
        return grants[0].obligations
    return tuple(duty for grant in grants for duty in grant.obligations)


def _searchable(pointer: str, fields: Fields) -> bool:
    """May a search use this field? It and all below it must be released, and nothing of it masked."""
    if not _is_pointer(pointer) or any(_touches(mask, pointer) for mask in fields.masked):
        return False
    return fields.released is None or any(_covers(each, pointer) for each in fields.released)


def _that_hide(searched_fields: frozenset[str], result: PolicyResult, grants: list[Grant]) -> list[str]:
    """The masks over a searched field; if none is, the permits that do not release one."""
    masks = [rule for rule, masked in result.masks if any(_touches(m, s) for m in masked for s in searched_fields)]
    return masks or [grant.rule for grant in grants]


def _is_pointer(text: str) -> bool:
    """RFC 6901: empty, or segments that each begin with `/`, where `~` is followed by `0` or `1`."""
    return _POINTER.fullmatch(text) is not None


def _covers(upper: str, lower: str) -> bool:
    return lower == upper or lower.startswith(upper + "/")


def _touches(mask: str, searched: str) -> bool:
    """Does one cover the other? Indices are left out: a mask over `/name/given` touches `/name/0/given`."""
    mask, searched = _without_indices(mask), _without_indices(searched)
    return _covers(mask, searched) or _covers(searched, mask)


def _without_indices(pointer: str) -> str:
    first, *rest = pointer.split("/")
    return "/".join([first, *(segment for segment in rest if not segment.isdecimal() and segment != "-")])
