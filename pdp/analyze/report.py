"""A decision and its explanation as text and as JSON-ready members. Makes strings; prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pdp.analyze import words
from pdp.analyze.explain import Explanation, RuleWhy
from pdp.analyze.flips import Flip
from pdp.analyze.tree import Truth
from pdp.analyze.why import Reading, Why
from pdp.model.decision import FOREVER, Decision, Effect, Obligation, RuleError

Paint = Callable[[str, str], str]
"""`paint(colour, text)`: red, green, yellow, bold, dim."""

_COLOURS: Final = {Truth.TRUE: "green", Truth.FALSE: "red", Truth.ERROR: "yellow"}
_SAYS: Final = {"permits": "green", "denies": "red", "masks": "yellow", "nothing": "dim"}
_WIDTH: Final = 7


def plain(_colour: str, text: str) -> str:
    return text


# Text -----------------------------------------------------------------------------------------------------------------


def decision_text(decision: Decision, now: int, paint: Paint = plain) -> str:
    """The answer: first line the effect and the reason, then what it rests on and what comes with it."""
    return "\n".join(_decision(decision, now, paint))


def _decision(decision: Decision, now: int, paint: Paint) -> Iterator[str]:
    colour = "green" if decision.effect is Effect.ALLOW else "red"
    yield f"{paint(colour, decision.effect.value)}  {decision.reason}"
    if decision.rules:
        yield f"  rules        {', '.join(decision.rules)}"
    if decision.fields.released is not None:
        yield f"  released     {', '.join(sorted(decision.fields.released)) or 'no field'}"
    if decision.fields.masked:
        yield f"  masked       {', '.join(sorted(decision.fields.masked))}"
    for duty in decision.obligations:
        yield f"  {'obligation' if duty.binding else 'advice':<11}  {_duty(duty)}"
    for refusal in decision.refusals:
        told = [f"because {words.quoted(refusal.because)}"] if refusal.because else []
        told += [f"exception {refusal.exception}"] if refusal.exception else []
        told += [f"cure {', '.join(refusal.cures)}"] if refusal.cures else []
        if told:
            yield f"  told         {refusal.rule}: {'; '.join(told)}"
    for error in decision.errors:
        yield f"  {paint('yellow', 'error')}        {error.rule}: {_error(error)}"
    if now < decision.valid_until < FOREVER:  # Where no later instant is known, nothing is promised.
        yield f"  valid until  {words.instant(decision.valid_until)}"


def _duty(duty: Obligation) -> str:
    arguments = ", ".join(f"{name}: {_json_text(value)}" for name, value in duty.arguments)
    return f"{duty.name}({arguments})  by {duty.rule}"


def _json_text(value: Any) -> str:
    return words.quoted(value) if isinstance(value, str) else str(value)


def _error(error: RuleError) -> str:
    return f"{error.code}: {error.message} ({error.where})"


def explanation_text(explanation: Explanation, paint: Paint = plain, most_rules: int = 0) -> str:
    """The answer, then every rule that was asked, then what alone would change it.

    `most_rules`: show at most so many of the rules that said nothing (0: all of them).
    """
    return "\n".join(_explanation(explanation, paint, most_rules))


def _explanation(explanation: Explanation, paint: Paint, most_rules: int) -> Iterator[str]:
    yield paint("dim", explanation.asked)
    yield from _decision(explanation.decision, explanation.now, paint)
    if explanation.undeclared:
        yield f"  {explanation.undeclared}"
    for difference in explanation.disagreement:
        yield paint("red", f"  FAULT: the compiled rules and the interpreter disagree: {difference}")
    quiet = 0
    for rule in explanation.rules:
        if rule.says == "nothing" and not rule.errors:
            quiet += 1
            if most_rules and quiet > most_rules:
                continue
        yield ""
        yield from _rule(rule, paint)
    if most_rules and quiet > most_rules:
        yield ""
        yield f"and {quiet - most_rules} more that said nothing (--all shows them)"
    if explanation.emergency:
        yield ""
        yield f"emergency rules grant nothing yet: {', '.join(explanation.emergency)}"
    if not explanation.undeclared:
        yield ""
        yield from _flips(explanation.flips, paint)


def _rule(rule: RuleWhy, paint: Paint) -> Iterator[str]:
    says = rule.says
    if rule.truth is Truth.ERROR or (says == "nothing" and rule.errors):
        says = "cannot be evaluated" + ("" if says == "nothing" else f", and so it {says}")
    head = f"{rule.effect} {paint('bold', rule.id)}: {paint(_SAYS.get(rule.says, 'yellow'), says)}"
    yield f"{head}  {paint('dim', rule.where)}"
    if rule.sentence or rule.citations:
        cited = f" [{', '.join(rule.citations)}]" if rule.citations else ""
        yield f"  {words.quoted(rule.sentence)}{cited}" if rule.sentence else f" {cited}"
    if rule.condition is None:
        yield "  always"
    else:
        yield from _why(rule.condition, paint, 0)
    if rule.release is not None and rule.says == "permits":
        yield "  releases only some fields when"
        yield from _why(rule.release, paint, 1)
    if rule.released is not None:
        yield f"  releases {', '.join(rule.released) or 'no field'}"
    if rule.masked:
        yield f"  masks {', '.join(rule.masked)}"
    if rule.duties:
        yield f"  requires {', '.join(rule.duties)}"
    shown = {why.error for why in _errors(rule.condition)}
    for error in rule.errors:
        if error not in shown:
            yield f"  {paint('yellow', 'error')}  {_error(error)}"


def _errors(why: Why | None) -> Iterator[Why]:
    if why is not None:
        if why.error is not None:
            yield why
        for child in why.children:
            yield from _errors(child)


def _why(why: Why, paint: Paint, depth: int) -> Iterator[str]:
    """One line for the node, one for each thing that it read, then its children further in."""
    indent = "  " * depth
    label = _label(why)
    note = "" if why.taken else "  (not taken)"
    if why.absorbed:
        note += "  (settled without it)"
    truth = paint(_COLOURS[why.truth], f"{why.truth.value:<{_WIDTH}}")
    yield f"  {truth}{indent}{label}{paint('dim', note)}"
    blank = f"  {' ' * _WIDTH}{indent}  "
    for reading in why.reads:
        # Who asks and for what is said once, on the first line; a Bool attribute is its own truth.
        if reading.text not in ("subject", "resource", "now") and (reading.text != label or reading.state != "value"):
            yield f"{blank}{paint('dim', _reading(reading))}"
    if why.error is not None and not why.children:
        yield f"{blank}{paint('yellow', _error(why.error))}"
    for child in why.children:
        yield from _why(child, paint, depth + 1)
    if why.elements > len(why.children):
        yield f"{blank}and {why.elements - len(why.children)} more members"


def _label(why: Why) -> str:
    head = f"{why.element}: " if why.element else ""
    return head + (why.kind if why.kind in ("and", "or", "not", "if") else why.text)


def _reading(reading: Reading) -> str:
    return f"{reading.text} = {reading.value}" if reading.state == "value" else f"{reading.text} is {reading.state}"


def _flips(flips: tuple[Flip, ...], paint: Paint) -> Iterator[str]:
    if not flips:
        yield "no single condition alone would change the answer"
        return
    yield paint("bold", "what alone would change the answer")
    for flip in flips:
        colour = "green" if flip.effect is Effect.ALLOW else "red"
        is_now = "could not be evaluated" if flip.now is Truth.ERROR else f"is {flip.now}"
        answer = f"{paint(colour, flip.effect.value)} ({flip.reason})"
        yield f"  {flip.text}"
        yield f"    {is_now}; if {flip.becomes}: {answer}  {paint('dim', _asked_by(flip))}"


def _asked_by(flip: Flip) -> str:
    return f"[{', '.join(flip.rules[:3])}{f' and {len(flip.rules) - 3} more' if len(flip.rules) > 3 else ''}]"


# JSON -----------------------------------------------------------------------------------------------------------------


def decision_json(decision: Decision) -> dict[str, Any]:
    """Everything the decision holds. `valid_until` null: time alone never changes it; `released` null: all fields."""
    fields = decision.fields
    return {
        "decision": decision.effect.value,
        "reason": decision.reason.value,
        "rules": list(decision.rules),
        "errors": [_error_json(each) for each in decision.errors],
        "obligations": [
            {"name": each.name, "arguments": dict(each.arguments), "rule": each.rule, "binding": each.binding}
            for each in decision.obligations
        ],
        "fields": {
            "released": None if fields.released is None else sorted(fields.released),
            "masked": sorted(fields.masked),
        },
        "refusals": [
            {
                "rule": each.rule,
                "erred": each.erred,
                "because": each.because,
                "exception": each.exception,
                "cures": list(each.cures),
            }
            for each in decision.refusals
        ],
        "valid_until": None if decision.valid_until == FOREVER else words.instant(decision.valid_until),
        "program_digest": decision.program_digest,
        "data_revision": decision.data_revision,
    }


def _error_json(error: RuleError) -> dict[str, str]:
    return {"rule": error.rule, "code": error.code, "message": error.message, "where": error.where}


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    return {
        "asked": explanation.asked,
        **decision_json(explanation.decision),
        "undeclared": explanation.undeclared or None,
        "considered": [_rule_json(each) for each in explanation.rules],
        "emergency": list(explanation.emergency),
        "flips": [
            {
                "condition": each.text,
                "where": each.where,
                "rules": list(each.rules),
                "is": each.now.value,
                "if": each.becomes.value,
                "decision": each.effect.value,
                "reason": each.reason.value,
            }
            for each in explanation.flips
        ],
        "disagreement": list(explanation.disagreement),
    }


def _rule_json(rule: RuleWhy) -> dict[str, Any]:
    return {
        "id": rule.id,
        "effect": rule.effect,
        "says": rule.says,
        "truth": rule.truth.value,
        "determining": rule.determining,
        "sentence": rule.sentence,
        "citations": list(rule.citations),
        "owner": rule.owner,
        "where": rule.where,
        "because": rule.because,
        "errors": [_error_json(each) for each in rule.errors],
        "condition": _why_json(rule.condition),
        "release": _why_json(rule.release),
        "released": None if rule.released is None else list(rule.released),
        "masked": list(rule.masked),
        "duties": list(rule.duties),
    }


def _why_json(why: Why | None) -> dict[str, Any] | None:
    if why is None:
        return None
    members: dict[str, Any] = {
        "kind": why.kind,
        "text": why.text,
        "where": why.where,
        "truth": why.truth.value,
        "error": None if why.error is None else _error_json(why.error),
        "reads": [
            {"path": each.text, "state": each.state} | ({"value": each.plain} if each.state == "value" else {})
            for each in why.reads
        ],
        "children": [_why_json(each) for each in why.children],
    }
    if why.element:
        members["element"] = why.element
    if why.kind in ("any", "all"):
        members["elements"] = why.elements
    if not why.taken:
        members["taken"] = False
    if why.absorbed:
        members["absorbed"] = True
    return members
