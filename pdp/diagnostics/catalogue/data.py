"""Codes of finding files, and of loading the data beside the policies. Shown by the tests of the bundle."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Severity

STAGE: Final = "data"
_FILES: Final = "tests/unit/bundle/test_artefact.py"
_SETTINGS: Final = "tests/unit/cli/test_check.py"
_DATA: Final = "tests/unit/bundle/test_data.py"


def _entry(summary: str, explanation: str, test: str = _DATA) -> Entry:
    return Entry(STAGE, summary, explanation, test=test)


ENTRIES: Final[dict[str, Entry]] = {
    # Files ------------------------------------------------------------------------------------------------------------
    "no-such-directory": _entry(
        "there is no directory of this name",
        "A policy set is a directory with `*.ward` files in it, or in directories below it.",
        _FILES,
    ),
    "no-policies": _entry(
        "the directory holds no policy file",
        "Policy files end in `.ward`. Hidden files, and those in hidden directories, are not read. A set without a "
        "rule would deny everything, which is hardly what was meant.",
        _FILES,
    ),
    "unreadable-file": _entry(
        "a file or directory cannot be read",
        "It is not a regular file, or this process may not read it. A policy set is taken whole or not at all: "
        "a forbid in a file that was skipped would be missing.",
        _FILES,
    ),
    "link-leads-outside": _entry(
        "a link leads out of the policy directory",
        "Links are followed inside the directory, as mounted volumes need it. One that leads outside could bring in "
        "what nobody reviewed; copy what it points to.",
        _FILES,
    ),
    "too-many-files": _entry(
        "there are more files than a policy set may have",
        "A policy set has at most 10 000 files, in directories nested at most 32 deep.",
        _FILES,
    ),
    # Records ----------------------------------------------------------------------------------------------------------
    "data-not-json": _entry(
        "the file is not JSON, or not in the form that data have",
        "A `.json` file holds one array of entities, a `.jsonl` file one entity on each line. The JSON is strict: a "
        "name occurs once in an object, numbers are finite, the text is UTF-8 without a byte order mark.",
    ),
    "data-not-an-entity": _entry(
        "a record is not an entity",
        "An entity is an object with `type` and `id`, and perhaps `parents` and `attributes`. Any other member is "
        "refused, so that a misspelt one is not lost in silence.",
    ),
    "data-unknown-type": _entry(
        "there is no entity type of this name",
        "`type` is the wire type: the name after `as` in the declaration, or else the name of the entity type.",
    ),
    "data-bad-identifier": _entry(
        "an identifier cannot stand",
        "Identifiers are texts of 1 to 512 characters in Unicode's composed form (NFC), without NUL.",
    ),
    "data-given-twice": _entry(
        "an entity is given twice",
        "Bundle data give an entity once, and each source once more. Of two that differ, none could be believed.",
    ),
    "data-unknown-attribute": _entry(
        "the entity type has no attribute of this name",
        "Only what is declared can be given: a misspelt attribute would leave the one that was meant unknown.",
    ),
    "data-misplaced-attribute": _entry(
        "an attribute is given by a place that does not own it",
        "Every attribute has one place (`from ..`, or bundle data without it). Data give what is bundle data; files "
        "below `data/sources/NAME` give what is `from source NAME`, and no parents.",
    ),
    "data-ill-typed": _entry(
        "a value does not fit its declared type",
        "The language page says how each type is written in JSON. There is no coercion: `1.0` is no Int, `1` no Text.",
    ),
    "data-unknown-source": _entry(
        "no attribute comes from this source",
        "Files below `data/sources/NAME` speak for the attributes declared `from source NAME`; there are none.",
    ),
    # Parents ----------------------------------------------------------------------------------------------------------
    "data-bad-parent": _entry(
        "a parent is not of a declared parent type",
        '`parents` is an array of `{"type": .., "id": ..}`, each of a type that the declaration names after `in`.',
    ),
    "data-unknown-parent": _entry(
        "a parent is not given itself",
        "What lies above a parent that is not given would be unknown, and with it every rule that asks.",
    ),
    "data-cycle": _entry(
        "an entity is its own ancestor",
        "Parenthood is transitive and has no cycles; data with one are refused whole.",
    ),
    "data-too-large": _entry(
        "the ancestors of all entities together are too many",
        "Chains of many thousands of parents are nearly always a mistake, and would take the memory of every worker.",
    ),
    # Settings beside the policies ------------------------------------------------------------------------------------
    "settings-disagree": Entry(
        STAGE,
        "the `pdp.toml` beside the policies speaks of what they do not declare",
        "A profile's fixed `context`, `may_assert` or `obligations`, an issuer's `claims` or type of subjects, or "
        "`[smart]` names something that the policy set does not know. The service starts all the same, and the name "
        "does nothing; a fixed context that does not fit its type makes every rule that reads it undecidable.",
        severity=Severity.WARNING,
        test=_SETTINGS,
    ),
    "settings-not-usable-here": Entry(
        STAGE,
        "the `pdp.toml` beside the policies cannot be used here, so it was not compared with them",
        "It may need what only the machine of the service has, such as a file with a secret. There, "
        "`pdp serve --check-settings` compares them.",
        severity=Severity.NOTE,
        test=_SETTINGS,
    ),
}
