"""Codes of reading: what could not be read, or not be judged. None of them is ever fine."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry

STAGE: Final = "proxy"

ENTRIES: Final[dict[str, Entry]] = {
    "proxy-not-yaml": Entry(
        STAGE,
        "the file cannot be read",
        "Templates have to be filled in first: judge what the proxy will read, not what it is made from.",
        bad="{{- if .Values.ehr }}\nstatic_resources: {listeners: []}\n{{- end }}\n",
        good="static_resources: {listeners: []}\n",
        alone=True,
    ),
    "proxy-too-large": Entry(
        STAGE,
        "the file is too large, too deep, or grows too much by its aliases",
        "At most 1 MiB, 200 000 values with every use of an alias counted, and 64 levels.",
        bad="static_resources: " + "[" * 70 + "]" * 70 + "\n",
        good="static_resources: {}\n",
        alone=True,
    ),
    "proxy-nothing-recognised": Entry(
        STAGE,
        "nothing in the file is a configuration that can be judged",
        "An empty answer about a file that was not understood would look like a good one. Say what it is with "
        "`--kind`, "
        "or leave the file out.",
        bad="services: [ehr]\n",
        good="static_resources: {}\n",
        alone=True,
    ),
    "proxy-not-judged": Entry(
        STAGE,
        "a part of the configuration decides who gets in, and cannot be judged",
        "It comes from a server, from a file that was not given, from a script, or from a setting that is not known "
        "here. "
        "Judge it where it is written down.",
        bad="static_resources: {}\ndynamic_resources: {ads_config: {}}\n",
        good="static_resources: {}\n",
        alone=True,
    ),
    "proxy-not-understood": Entry(
        STAGE,
        "a value is not of the type that its field has",
        "The proxy may refuse it, or take it for something else.",
        bad="failure_mode_allow: never",
        good="failure_mode_allow: false",
    ),
    "proxy-unknown-field": Entry(
        STAGE,
        "a field that is not known here",
        "A misspelt field is refused by some readers and ignored by others; a new one may open what nobody has "
        "looked at.",
        bad="failure_mode_alow: false",
        good="failure_mode_allow: false",
    ),
    "proxy-name-twice": Entry(
        STAGE,
        "a name stands twice in one map",
        "Some readers take the first value, some the last, some refuse both.",
        bad="failure_mode_allow: false\n              failure_mode_allow: false",
        good="failure_mode_allow: false",
    ),
    "proxy-boolean-word": Entry(
        STAGE,
        "a word that is a boolean to some readers of YAML",
        "`n`, `y`, `on`, `off`, `yes` and `no` are booleans in YAML 1.1 and texts in YAML 1.2: `name: n` names "
        "nothing.",
        bad="stat_prefix: n",
        good="stat_prefix: ehr",
    ),
    "proxy-merge-key": Entry(
        STAGE,
        "a merge key (`<<`)",
        "Readers differ in whether they know it, and in which value wins.",
        bad="<<: {merge_slashes: true}",
        good="merge_slashes: true",
    ),
}
