"""Codes of what checks and is probably not meant. They are warnings (one is a note) and stop nothing."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Severity

STAGE: Final = "lint"
_WARNING: Final = Severity.WARNING

ENTRIES: Final[dict[str, Entry]] = {
    "rule-without-id": Entry(
        STAGE,
        "a rule has no id",
        "Logs, tests and people speak about rules by their ids. A derived id stays only while the rule says the same.",
        bad="permit read on Record\n",
        good="permit read on Record as anybody\n",
        severity=_WARNING,
    ),
    "unreachable-rule": Entry(
        STAGE,
        "a rule whose condition is false in every request",
        "A permit that never permits is a wish; a forbid that never forbids is a hole. Most often an `and` wants one "
        "attribute to be equal to two values.",
        bad="permit read on Record as r when context.purpose == Purpose.TREAT and context.purpose == Purpose.HPAYMT\n",
        good="permit read on Record as r when context.purpose == Purpose.TREAT or context.purpose == Purpose.HPAYMT\n",
        severity=_WARNING,
    ),
    "all-over-empty": Entry(
        STAGE,
        "a permit rests on an `all` that an empty collection meets",
        "`all` is true where there is nothing to test. If a record without readers is not meant to be read by "
        "everybody, ask for some: `size(..) > 0 and all ..`.",
        bad="permit read on Record as r when all x in resource.readers: x == subject\n",
        good="permit read on Record as r when size(resource.readers) > 0 and all x in resource.readers: x == subject\n",
        severity=_WARNING,
    ),
    "caller-can-dodge": Entry(
        STAGE,
        "a forbid or mask rests on what the caller says",
        "Who is to be refused can choose the value, or leave it out, so that the rule does not apply. That is right "
        "where the caller is an enforcement point that is trusted to say it; the list is short enough to look at each.",
        bad="forbid any on any as r when context.purpose in Purpose.HPAYMT\n",
        good="forbid any on any as r when subject is Service and subject.trusted\n",
        severity=_WARNING,
    ),
    "kind-partly-covered": Entry(
        STAGE,
        "a forbid speaks about some types of a kind and not about the others",
        "The others have the same action and stay as they are. Name the kind, if they were forgotten.",
        bad="forbid read on Record as r when subject is Service\n",
        good="forbid read on Document as r when subject is Service\n",
        severity=_WARNING,
    ),
    "release-overlap": Entry(
        STAGE,
        "`release only` on a pair on which another permit releases all",
        "What permits release adds up, so where both apply nothing is held back. A `mask` takes away whatever permits "
        "release.",
        bad="permit read on Record as some release only /id\npermit read on Record as whole when subject is Service\n",
        good="permit read on Record as some release only /id\npermit read on Note as whole when subject is Service\n",
        severity=_WARNING,
    ),
    "emergency-grants-nothing": Entry(
        STAGE,
        "emergency rules are checked and grant nothing yet",
        "Break-glass comes with a later version. The rule keeps its id, so that forbids can name it.",
        bad="emergency read on Record as glass\n",
        good="permit read on Record as glass\n",
        severity=_WARNING,
    ),
    "unused-route-parameter": Entry(
        STAGE,
        "a part of the path that nothing compares with anything",
        "`/Patient/MINE/Record/THEIRS`: whoever asks may write anything into a parameter that the route does not use. "
        "Claim what it means with `with attribute = Type parameter`.",
        bad='route GET "/patients/{patient}/records/{record}" does read on Record record\n',
        good='route GET "/patients/{patient}/records/{record}" does read on Record record\n'
        "    with patient = Patient patient\n",
        severity=_WARNING,
    ),
    "unused-name": Entry(
        STAGE,
        "a `define`, a `fields` or a `fixture` that nothing uses",
        "Take it out, or use it. Names of a module that other files use, or that stands in a layer below `service`, "
        "are offers and are not reported.",
        bad="define open(what: Record) = size(what.tags) == 0\n",
        good="define open(what: Record) = size(what.tags) == 0\npermit read on Record as r when open(resource)\n",
        severity=_WARNING,
    ),
    "rests-on-identity": Entry(
        STAGE,
        "a forbid or a mask rests on a type or an identifier, which whoever asks says",
        "A note, off unless asked for (`pdp check --notes`). A rule that holds for one type, or for one name, can be "
        "dodged by coming as another, wherever the door does not prove who asks and for what.",
        severity=Severity.NOTE,
        test="tests/unit/language/test_check.py",
    ),
    "rule-without-citation": Entry(
        STAGE,
        "a rule cites no source",
        "A note, off unless asked for: `cites` says which paragraph, contract or house rule a rule carries out.",
        severity=Severity.NOTE,
        test="tests/unit/language/test_check.py",
    ),
}
