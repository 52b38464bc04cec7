"""docs/identity.md tells of every word that a record can have."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
INSIDE: frozenset[str] = frozenset({"malformed-proof"})  # becomes `dpop-malformed`


def test_every_refusal_of_a_token_has_its_place_on_the_page() -> None:
    page = (ROOT / "docs/identity.md").read_text()
    modules = ("bearer", "claims", "dpop", "identify", "introspection", "jose", "keys", "proofs", "registered")
    source = "".join((ROOT / f"pdp/identity/{name}.py").read_text() for name in modules)
    words = set(re.findall(r'Unknown\((?:"([a-z-]+)"|[^()]*?"([a-z-]+)" if [^"]*"([a-z-]+)")', source))
    named = {word for found in words for word in found if word} - INSIDE
    assert len(named) > 35
    assert {word for word in named if f"`{word}`" not in page} == set()
