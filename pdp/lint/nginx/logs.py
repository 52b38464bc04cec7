"""What nginx writes about each request: the target of a request for patient data is patient data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pdp.lint.findings import Findings
from pdp.lint.nginx.levels import CONTAINERS
from pdp.lint.nginx.text import Directive

_TARGET: Final = re.compile(
    r"\$\{?(?:(?:request|request_uri|uri|document_uri|args|query_string|request_filename|request_body|http_referer|"
    r"http_authorization|http_cookie)\b|arg_\w|cookie_\w)"
).search
_NOWHERE: Final = ("off", "/dev/null")


def judge(directives: Sequence[Directive], findings: Findings) -> None:
    for each in _everywhere(directives):
        if each.name == "log_format" and (said := _TARGET(" ".join(word.text for word in each.args[1:]))):
            _add(
                each,
                f"`{said[0]}` writes into the log what the client asked for, patients' identifiers among it",
                findings,
            )
        elif each.name == "access_log" and each.arg(0) not in _NOWHERE and _combined(each):
            _add(each, "nginx's own format, `combined`, has the whole request line", findings)


def _combined(log: Directive) -> bool:
    """No format, or that one: a second word with `=` is an option."""
    form = log.arg(1)
    return not form or "=" in form or form == "combined"


def _everywhere(directives: Sequence[Directive]) -> Iterator[Directive]:
    for each in directives:
        yield each
        if each.name in ("http", "server", *CONTAINERS):
            yield from _everywhere(each.block or ())


def _add(directive: Directive, message: str, findings: Findings) -> None:
    findings.add(
        "nginx-log-target",
        directive.span,
        message,
        "log `$pdp_decision` instead: by that id Chaperone's record says what was asked",
    )
