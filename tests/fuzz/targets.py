"""What is fuzzed: for each parser of bytes from outside, a function that takes any bytes and raises only for a fault.

`scripts/fuzz` runs them under a coverage-guided fuzzer; `test_corpus.py` replays what `tests/corpus/NAME/` keeps.
A refusal is no fault. Each target asserts what must hold where the parser accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pdp.doors import path
from pdp.doors.original import Refused, checked_host
from pdp.identity import certificate, scopes, spiffe, xfcc
from pdp.identity.caller import Caller, Unknown
from pdp.model.request import RequestError, strict_json


def raw_path(data: bytes) -> None:
    try:
        found = path.segments(data)
    except path.AmbiguousPath:
        return
    for segment in found:
        assert segment
        assert segment.strip(".")
        assert not set(segment) & set("/\\%;?#\0")


def query(data: bytes) -> None:
    try:
        names = path.query_names(data)
    except path.AmbiguousPath:
        return
    assert len(names) <= data.count(b"&") + 1


def host(data: bytes) -> None:
    try:
        found = checked_host([data])
    except Refused:
        return
    assert not set(found) & set(", @/\\?#\r\n\0")


def json_text(data: bytes) -> None:
    try:
        strict_json(data)
    except RequestError:
        return
    data.decode("utf-8")


def client_certificate(data: bytes) -> None:
    """As each kind of header, and as what is inside of one."""
    for kind in certificate.KINDS:
        with suppress(Unknown):
            certificate.leaf(kind, data)
    try:
        found = certificate.peer(data, {}, 1_800_000_000_000_000)
    except Unknown:
        return
    assert not found.spiffe_id, "no trust domain is listed"


def xfcc_header(data: bytes) -> None:
    try:
        elements = xfcc.parse(data)
    except xfcc.Malformed:
        return
    assert elements
    assert all(element.pairs and {key for key, _ in element.pairs} <= xfcc.KEYS for element in elements)
    assert sum(len(element.pairs) for element in elements) <= data.count(b"=")


def spiffe_id(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = spiffe.parse(text)
    except spiffe.NotSpiffe:
        return
    assert str(found) == text
    assert not {"", ".", ".."} & set(found.segments)


def smart_scope(data: bytes) -> None:
    """A scope, a line feed, a query. No text is a scope for the data of another patient."""
    text, _, raw_query = data.partition(b"\n")
    scope = scopes.parse(text.decode("utf-8", "replace"))
    assert scope is None or text.startswith(f"{scope.level}/{scope.type}.".encode())
    caller = Caller("user", "anna", "token", scopes=(text.decode("utf-8", "replace"),), patient="a")
    why = scopes.refused(scopes.Smart(), caller, ("search",), "Observation", "b", raw_query)
    assert why or (scope is not None and scope.level != "patient" and "s" in scope.letters)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "path": raw_path,
    "query": query,
    "host": host,
    "json": json_text,
    "certificate": client_certificate,
    "xfcc": xfcc_header,
    "spiffe": spiffe_id,
    "scope": smart_scope,
}
