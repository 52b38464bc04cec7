"""A deny that a stronger, or fresher, authentication would lift, said as RFC 9470 wants it. Pure.

Only where every rule that denies has `step_up` among its cures (SEMANTICS 28): a challenge for a deny that stays, or
that rests on what could not be evaluated, would send people to log in for nothing and tell of rules unknown to them.
A decision names cures only where it would be a permit but for those rules (`decide.combine.told`), so that nobody is
sent to log in for what no login gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pdp.model.decision import Decision, Effect, Reason

CURE: Final = "step_up"  # as Ward spells it
OBLIGATION: Final = "step-up"  # as AuthZEN's Obligations Profile does
DESCRIPTION: Final = "A different authentication level is required"
ALLOWED: Final = frozenset(chr(code) for code in range(0x21, 0x7F)) - set('"\\,')
"""Of one value of `acr_values`: what stands in a quoted string as it is, and apart from others by a blank."""


@dataclass(frozen=True, slots=True)
class StepUp:
    """What is asked for. `acr_values` in order of preference; empty: no challenge is ever made."""

    acr_values: tuple[str, ...] = ()
    amr_values: tuple[str, ...] = ()  # told at the AuthZEN door alone: RFC 9470 has no place for it
    max_age_seconds: int = 0  # 0: any age of the authentication will do

    @property
    def offered(self) -> bool:
        return bool(self.acr_values) or self.max_age_seconds > 0


@dataclass(frozen=True, slots=True)
class Challenge:
    header: bytes  # the value of `WWW-Authenticate`
    obligation: Mapping[str, Any]  # of AuthZEN's Obligations Profile


def step_up(decision: Decision, asked: StepUp, beside: Iterable[Decision] = ()) -> Challenge | None:
    """The challenge for a deny that a step-up alone would lift, else None. `beside`: what is decided together with it,
    all of which must be allowed or lifted too.
    """
    if not asked.offered or not curable(decision):
        return None
    if not all(each.effect is Effect.ALLOW or curable(each) for each in beside):
        return None
    return Challenge(_header(asked), _obligation(asked))


def curable(decision: Decision) -> bool:
    """Is it a deny, solely by forbids, each of which was evaluated and names a step-up as a cure that would help?"""
    return (
        decision.effect is Effect.DENY
        and decision.reason is Reason.FORBIDDEN
        and bool(decision.refusals)
        and {each.rule for each in decision.refusals} == set(decision.rules)
        and all(CURE in each.cures and not each.erred for each in decision.refusals)
    )


def _header(asked: StepUp) -> bytes:
    """RFC 9470 section 3."""
    said = ['Bearer error="insufficient_user_authentication"', f'error_description="{DESCRIPTION}"']
    if asked.acr_values:
        said.append(f'acr_values="{" ".join(asked.acr_values)}"')
    if asked.max_age_seconds:
        said.append(f'max_age="{asked.max_age_seconds}"')
    return ", ".join(said).encode("ascii")


def _obligation(asked: StepUp) -> Mapping[str, Any]:
    """One level can be named there: the preferred one."""
    properties: dict[str, Any] = {"amr_values": list(asked.amr_values)}
    if asked.acr_values:
        properties["acr_value"] = asked.acr_values[0]
    if asked.max_age_seconds:
        properties["max_age"] = asked.max_age_seconds
    return {"type": OBLIGATION, "properties": properties}
