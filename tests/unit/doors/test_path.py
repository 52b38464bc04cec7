"""Every row of the path matrix: what a proxy could pass on, and that nothing ambiguous is decided about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors.path import AmbiguousPath, query_names, segments

REFUSED = [
    (b"/a//b", "empty-segment"),
    (b"//admin", "empty-segment"),
    (b"//evil.example/x", "empty-segment"),
    (b"/a/", "empty-segment"),
    (b"//", "empty-segment"),
    (b"/a/../b", "dot-segment"),
    (b"/a/./b", "dot-segment"),
    (b"/..", "dot-segment"),
    (b"/a/...", "dot-segment"),
    (b"/public/../phi", "dot-segment"),
    (b"/a/%2e%2e/b", "dot-segment"),
    (b"/a/%2E%2E/b", "dot-segment"),
    (b"/a/.%2e/b", "dot-segment"),
    (b"/a/%2e/b", "dot-segment"),
    (b"/a%2Fb", "encoded-delimiter"),
    (b"/a%2fb", "encoded-delimiter"),
    (b"/public%2f..%2fphi", "encoded-delimiter"),
    (b"/a%5Cb", "encoded-delimiter"),
    (b"/a\\b", "backslash"),
    (b"/a\\..\\b", "backslash"),
    (b"/a;x=1/b", "matrix-parameter"),
    (b"/a;/../b", "matrix-parameter"),
    (b"/a/..;/b", "matrix-parameter"),
    (b"/a%3Bx=1", "encoded-delimiter"),
    (b"/%2561", "encoded-delimiter"),
    (b"/x/%252e%252e/y", "encoded-delimiter"),
    (b"/a%252Fb", "encoded-delimiter"),
    (b"/a%00b", "control-character"),
    (b"/a%0d%0aSet-Cookie:x", "control-character"),
    (b"/a%7f", "control-character"),
    (b"/a%zz", "malformed"),
    (b"/a%", "malformed"),
    (b"/a%4", "malformed"),
    (b"/a%c0%afb", "not-utf-8"),
    (b"/a%ff", "not-utf-8"),
    (b"/a%ed%a0%80", "not-utf-8"),
    (b"/a%ef%bc%8fb", "not-normal"),  # a full-width slash
    (b"/%ef%bc%8e%ef%bc%8e/b", "not-normal"),  # two full-width dots
    (b"/e%cc%81", "not-normal"),  # an e with a combining accent
    (b"/a%e2%80%aeb", "control-character"),  # right-to-left override
    (b"/a%e2%80%8bb", "control-character"),  # zero-width space
    (b"/a%3Fb", "encoded-delimiter"),
    (b"/a%23b", "encoded-delimiter"),
    (b"/x#/../phi", "malformed"),
    (b"/x?y", "malformed"),
    (b"/a b", "malformed"),
    (b"/a\x00b", "malformed"),
    (b"/caf\xc3\xa9", "malformed"),
    (b'/a"b', "malformed"),
    (b"/a<b>", "malformed"),
    (b"/a|b", "malformed"),
    (b"", "not-absolute"),
    (b"*", "not-absolute"),
    (b"a/b", "not-absolute"),
    (b"http://other/abs", "not-absolute"),
    (b"/" + b"a" * 20_000, "too-long"),
    (b"/a" * 65, "too-many-segments"),
]


@pytest.mark.parametrize(("raw", "kind"), REFUSED)
def test_checklist_10_an_ambiguous_path_is_refused(raw: bytes, kind: str) -> None:
    with pytest.raises(AmbiguousPath) as error:
        segments(raw)
    assert error.value.kind == kind


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/", ()),
        (b"/fhir/Patient/p1", ("fhir", "Patient", "p1")),
        (b"/%61dmin", ("admin",)),
        (b"/caf%C3%A9", ("café",)),
        (b"/a%20b", ("a b",)),
        (b"/a.b/c..d", ("a.b", "c..d")),
        (b"/..a/b", ("..a", "b")),
        (b"/Patient/$everything", ("Patient", "$everything")),
        (b"/Patient/%24everything", ("Patient", "$everything")),
        (b"/ADMIN", ("ADMIN",)),
        (b"/a:b@c!d,e=f+g&h", ("a:b@c!d,e=f+g&h",)),
    ],
)
def test_checklist_11_a_plain_path_is_split_and_then_decoded(raw: bytes, expected: tuple[str, ...]) -> None:
    assert segments(raw) == expected


def test_checklist_10_the_path_matrix_never_becomes_another_path() -> None:
    for raw, _ in REFUSED:
        with pytest.raises(AmbiguousPath):
            segments(b"/prefix" + raw if raw.startswith(b"/") else raw)


@given(st.binary(max_size=200))
def test_checklist_10_any_bytes_are_segments_or_refused(raw: bytes) -> None:
    try:
        found = segments(raw)
    except AmbiguousPath:
        return
    for each in found:
        assert each
        assert each.strip(".")
        assert not set(each) & set("/\\%;?#\0\r\n")


@given(
    st.lists(st.sampled_from([b"/", b".", b"..", b"%2e", b"%2f", b"a", b";", b"%", b"25", b"\\", b"%5c"]), max_size=12)
)
def test_checklist_11_no_mixture_of_traversal_parts_yields_a_separator_or_dots(parts: list[bytes]) -> None:
    try:
        found = segments(b"/" + b"".join(parts))
    except AmbiguousPath:
        return
    assert all(each.strip(".") and "/" not in each and "\\" not in each for each in found)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"a=1&a=2", "duplicate-parameter"),
        (b"a&a=", "duplicate-parameter"),
        (b"a=1&%61=2", "duplicate-parameter"),
        (b"a=1;b=2", "query-separator"),
        (b"a=1&&b=2", "malformed-query"),
        (b"&", "malformed-query"),
        (b"=1", "malformed-query"),
        (b"a+b=1", "malformed-query"),
        (b"a%26b=1", "encoded-delimiter"),
        (b"a%3Db=1", "encoded-delimiter"),
        (b"a%253D=1", "encoded-delimiter"),
        (b"a=%zz", "malformed-query"),
        (b"a=%00", "control-character"),
        (b"a=%c0%af", "not-utf-8"),
        (b"a=b c", "malformed-query"),
        (b"a=1#b", "malformed-query"),
        (b"&".join(b"a%d=1" % n for n in range(65)), "too-many-parameters"),
        (b"a=" + b"x" * 20_000, "too-long"),
    ],
)
def test_checklist_12_an_ambiguous_query_is_refused(raw: bytes, kind: str) -> None:
    with pytest.raises(AmbiguousPath) as error:
        query_names(raw)
    assert error.value.kind == kind


def test_checklist_12_query_names_are_decoded_once() -> None:
    assert query_names(b"") == frozenset()
    assert query_names(b"name:exact=x&_summary=true&date=ge2020-01-01T00:00:00%2B01:00") == {
        "name:exact",
        "_summary",
        "date",
    }
    assert query_names(b"a") == query_names(b"a=") == {"a"}


@given(st.binary(max_size=100))
def test_checklist_12_any_bytes_are_a_query_or_refused(raw: bytes) -> None:
    try:
        names = query_names(raw)
    except AmbiguousPath:
        return
    assert all(names)
