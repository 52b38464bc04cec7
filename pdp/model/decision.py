"""The answer: allow or deny, the rules that made it so, and what must be done with it.

Two stages. The *policy result* is what the rules say; it depends on nothing but program, data, request and time, and is
what the cache holds. The *decision* is that result after the profile of the enforcement point (SEMANTICS 19): a permit
whose duties the point cannot carry out contributes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

FOREVER: Final = 2**63 - 1
"""`valid_until` of a decision that time alone never changes (microseconds since the epoch)."""


class PdpFault(Exception):
    """A fault of ours, never of a policy or a caller: an explicit deny at the proxy doors, 500 at the API doors."""


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Reason(StrEnum):
    """Why, in one stable word. Public: says nothing that the caller does not know (SEMANTICS 28)."""

    PERMITTED = "permitted"
    NO_RULE = "no_rule"  # nothing permits
    INDETERMINATE = "indeterminate"  # nothing permits, and some permit could not be evaluated
    FORBIDDEN = "forbidden"  # a forbid applies, or could not be evaluated
    MASKED = "masked"  # a mask could not be evaluated, or the search uses a masked field
    UNSUPPORTED = "unsupported_obligation"  # what permits carries duties that this enforcement point cannot carry out
    UNDECLARED = "undeclared"  # no such action on such a resource for such a subject
    BAD_REQUEST = "bad_request"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_PEP = "unknown_pep"  # it is not the client who is not known, but the enforcement point that asks
    NO_ROUTE = "no_route"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    SESSION_ENDED = "session_ended"  # revoked, idle for too long, or too old
    STEP_UP = "step_up"  # a stronger or fresher authentication would cure every denying rule (RFC 9470)
    INSUFFICIENT_SCOPE = "insufficient_scope"  # the token was not granted this
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty that comes with the answer. `binding`: the enforcement point must carry it out or deny; else advice."""

    name: str
    arguments: tuple[tuple[str, Any], ...]  # JSON-ready values
    rule: str
    binding: bool = True


@dataclass(frozen=True, slots=True)
class RuleError:
    """A condition, or an argument, of a rule could not be evaluated. `where` is `file:line:column`."""

    rule: str
    code: str
    message: str
    where: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What one permit that applies contributes. `fields` None: it releases everything."""

    rule: str
    fields: frozenset[str] | None = None  # JSON pointers (RFC 6901); each covers its descendants
    obligations: tuple[Obligation, ...] = ()
    errors: tuple[RuleError, ...] = ()  # a release condition that erred, and so restricts: it still goes on record


@dataclass(frozen=True, slots=True)
class Refusal:
    """A forbid that applies (or could not be evaluated): what may be told of it."""

    rule: str
    erred: bool = False
    because: str = ""  # public sentence
    exception: str = ""  # information-blocking exception, 45 CFR 171 subparts B to D
    cures: tuple[str, ...] = ()  # in a decision: only those that may be told, since they would lead to a permit
    overridable_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What the rules say, before the profile. All tuples sorted by rule id (SEMANTICS 17)."""

    grants: tuple[Grant, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    masks: tuple[tuple[str, frozenset[str]], ...] = ()  # (rule, pointers) of each mask that applies
    void_masks: tuple[str, ...] = ()  # masks whose field set could not be evaluated: they deny
    errors: tuple[RuleError, ...] = ()
    permit_erred: bool = False
    undeclared: bool = False
    valid_until: int = FOREVER


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields may leave. `released` None: all of them. `masked` wins, and covers descendants."""

    released: frozenset[str] | None = None
    masked: frozenset[str] = frozenset()

    @property
    def limited(self) -> bool:
        return self.released is not None or bool(self.masked)


WHOLE: Final = Fields()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer that leaves. Only `allow` opens: everything else, also what nobody thought of, is a deny."""

    effect: Effect
    reason: Reason
    rules: tuple[str, ...] = ()  # determining rules, sorted
    errors: tuple[RuleError, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    fields: Fields = WHOLE
    refusals: tuple[Refusal, ...] = ()
    valid_until: int = FOREVER
    program_digest: str = ""
    data_revision: str = ""

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the enforcement point can carry out, from its authenticated profile (never from the request)."""

    fields: bool = False
    obligations: frozenset[str] = frozenset()


NO_CAPABILITIES: Final = Capabilities()
