"""The checklist of what goes wrong between proxies and decision points: each point in a sentence, and the tests of it.

A test that covers a point says so in its name: `test_checklist_07_..`. The page docs/checklist.md is made from here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

POINTS: Final = {
    1: "An empty or default answer is never sent over gRPC; without a permit the code is not 0.",
    2: "A fault, a time-out, a cancelled call, a missing policy set or source is an explicit deny, never an error.",
    3: "A denial has the status 401, 403, 413 or 429 and no other.",
    4: "An empty check, one of a connection (L4), one without method, path or host is a deny.",
    5: "Over HTTP exactly 200 allows, no denial looks like success, and every method reaches the evaluation.",
    6: "A header that we add has no CR, LF or NUL, no `:` name, is never `host`, always overwrites, and is bounded.",
    7: "Every identity header is there on allow; the client's copies, also in other spellings, are gone.",
    8: "A query parameter that we set is percent-encoded.",
    9: "What a denial says holds nothing of a patient or of the policy.",
    10: "Every ambiguous spelling of a path is refused.",
    11: "A path is split, then decoded, from its raw form; a prefix ends at a slash.",
    12: "Duplicate query names, `;` separators and encoded delimiters are refused.",
    13: "An absolute-form target, two hosts, or an odd host is refused.",
    14: "A header that overrides the method does nothing; methods are compared exactly.",
    15: "Two credentials or two identities are none.",
    16: "Headers of the original request count only from the enforcement point whose convention they are.",
    17: "A body that was cut short, or a lie about it, opens nothing.",
    18: "A forged, malformed or doubled certificate header is refused; a SPIFFE identity has exactly one URI SAN.",
    19: "A DNS name, a common name or a look-alike trust domain is no identity.",
    20: "A token chooses neither its algorithm nor its key.",
    21: "Claims have their types, their times and their sizes, each name once.",
    22: "A token that is bound to a key is nothing without the proof.",
    23: "No spelling of a token escapes a revocation, and no cache outlives a token, a policy or a revocation.",
    24: "An identity provider that is down, rotates its keys, or answers oddly opens nothing.",
    25: "Scopes only narrow, whatever their spelling.",
    26: "A security event that is forged, replayed, for somebody else, from the future or out of order is harmless.",
    27: "AuthZEN requests are read strictly, and answered as its specification says.",
    28: "What an enforcement point may not assert never replaces what the owner of a value says.",
    29: "Every door asks who asks; a search returns nothing that an evaluation would deny; page tokens are ours.",
    30: "One request sees one policy set; nobody else shares our ports.",
    31: "Lines, headers, bodies, messages, time and concurrency are bounded, and what is beyond is denied.",
    32: "A proxy's configuration that opens a hole is found by `pdp lint-proxy`.",
    33: "What lives longer than a decision (streams, retries, kept answers) is bounded or refused.",
    34: "Every decision, also one before evaluation, is recorded once, without tokens; no record can be forged.",
    35: "Nothing listens but what was asked for: no control socket, no debugging, metrics on their own listener.",
}

NAME: Final = re.compile(r"test_checklist_(\d\d)_(.+)")


def found() -> dict[int, list[tuple[str, str]]]:
    """For each point, the file and the sentence of every test that names it."""
    tests: dict[int, list[tuple[str, str]]] = {number: [] for number in POINTS}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in _functions(path):
            match = NAME.fullmatch(name)
            if match:
                tests[int(match[1])].append((str(path.relative_to(ROOT)), match[2].replace("_", " ")))
    return tests


def _functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def page() -> str:
    parts = [
        "# The checklist\n\nWhat goes wrong between proxies and decision points, and the tests that hold it. Made by"
        " `scripts/make-catalogue`\nfrom the names of the tests (`test_checklist_07_..`).\n"
    ]
    for number, tests in found().items():
        parts.append(f"## {number}. {POINTS[number]}\n")
        by_file: dict[str, list[str]] = {}
        for file, sentence in tests:
            by_file.setdefault(file, []).append(sentence)
        for file, sentences in by_file.items():
            parts.append(f"- `{file}`: " + "; ".join(sorted(set(sentences))))
        parts.append("")
    return "\n".join(parts)
