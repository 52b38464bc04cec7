"""`[witness.NAME]` and `[retention]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.tree import cosign, note
from pdp.audit.tree.cosign import Asked
from pdp.audit.tree.pruned import Retention
from pdp.config.retention import retention
from pdp.config.witness import witnesses

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
KEY = cosign.named("witness.example/w1", PRIVATE)
FILE = Path("/etc/pdp/pdp.toml")


def read(given: Any) -> tuple[tuple[Asked, ...], list[str]]:
    problems: list[str] = []
    return witnesses(given, FILE, problems), problems


def test_a_witness_is_read_with_its_defaults() -> None:
    said = {"one": {"url": "https://witness.example/w1/", "vkey": str(KEY), "ca_file": "ca.pem"}}
    assert read(said) == ((Asked("one", "https://witness.example/w1", KEY, Path("/etc/pdp/ca.pem"), 10, 5),), [])


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"vkey": str(KEY)}, "`url` is missing"),
        ({"url": "https://w.example"}, "`vkey` is missing"),
        ({"url": "ftp://w.example", "vkey": str(KEY)}, "`url` must be"),
        ({"url": "https://w.example", "vkey": "nothing"}, "`vkey`: a vkey is"),
        ({"url": "https://w.example", "vkey": str(note.verifier("x", PRIVATE))}, "of type 4"),
        ({"url": "https://w.example", "vkey": str(KEY), "interval_seconds": 0}, "`interval_seconds`"),
        ({"url": "https://w.example", "vkey": str(KEY), "key": 1}, "unknown key `key`"),
    ],
)
def test_what_cannot_be_meant_is_said(table: dict[str, Any], why: str) -> None:
    _, problems = read({"one": table})
    assert len(problems) == 1
    assert why in problems[0]


def test_one_witness_does_not_stand_there_twice() -> None:
    one = {"url": "https://w.example", "vkey": str(KEY)}
    _, problems = read({"one": one, "two": one})
    assert problems == [f"{FILE}: [witness.two] has the key of [witness.one]"]


def test_how_long_records_are_kept() -> None:
    problems: list[str] = []
    assert retention({}, FILE, problems) == Retention(6, 90)
    assert retention({"years": 10, "margin_days": 0}, FILE, problems) == Retention(10, 0)
    assert problems == []
    retention({"years": 0, "day": 1}, FILE, problems)
    retention("x", FILE, problems)
    assert len(problems) == 3
