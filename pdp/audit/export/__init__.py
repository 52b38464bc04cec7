"""Records for the systems of others: OCSF, ECS, FHIR AuditEvent, CEF, CSV, or unchanged. Pure: a leaf in, lines out.

What leaves is pseudonyms, unless identities are asked for and the details can be opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.export import cef, ecs, fhir, ocsf, table
from pdp.audit.export.fact import Fact, Whole, fact
from pdp.audit.leaf import PLAIN, Leaf


class InClear(EvidenceError):
    """A record may not leave as it is: nobody asked for identities, and they stand in it."""


RAW: Final = "raw"
FORMATS: Final[dict[str, Callable[[Fact], bytes]]] = {
    "ocsf": ocsf.encoded,
    "ecs": ecs.encoded,
    "fhir": fhir.decisions,
    "fhir-access": fhir.accesses,
    "cef": cef.encoded,
    "csv": table.encoded,
}
WHOLE: Final = ("fhir", "fhir-access")
"""In which what goes on says what it goes on with. Not of what is shipped: that does not hang on where it began."""


def encoder(name: str, identities: bool = False) -> Callable[[Leaf], bytes]:
    """What makes lines of a record, without the last line's end; b"" for a record that this format leaves out.

    Raises KeyError for an unknown format. What is made raises EvidenceError: it may not leave so.
    """
    if name == RAW:
        return lambda leaf: _raw(leaf, identities)
    make = FORMATS[name]
    if name in WHOLE:
        whole = Whole()
        return lambda leaf: make(fact(whole.of(leaf), identities))
    return lambda leaf: make(fact(leaf, identities))


def header(name: str) -> bytes:
    """The line before all others; b"" where there is none."""
    return table.header() if name == "csv" else b""


def _raw(leaf: Leaf, identities: bool) -> bytes:
    """Unchanged, or not at all: a detail that was written in clear leaves only with whom it names."""
    if not identities and PLAIN.open(leaf.members)[0]:
        raise InClear("the details of this log are in clear: unchanged, it says who")
    if b"\n" in leaf.payload:
        raise EvidenceError("a record is more than one line")
    return leaf.payload
