"""The header by which Envoy passes a client certificate on: what it writes is read, all else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.xfcc import KEYS, MAX_BYTES, MAX_ELEMENTS, MAX_PAIRS, Malformed, parse, sole

HASH = "ab" * 32
ENVOY = (
    f'By=spiffe://lab.example/front;Hash={HASH};Cert="-----BEGIN%20CERTIFICATE-----%0AMA%3D%3D%0A";'
    'Subject="CN=a \\"quoted\\" name\\, with\\; all\\\\that,O=Lab";URI=spiffe://lab.example/a;DNS=a.example;DNS=b.example'
).encode()


def test_what_envoy_writes_is_read() -> None:
    element = sole(ENVOY)
    assert element.one("hash") == HASH
    assert element.one("cert").startswith("-----BEGIN%20")
    assert element.one("subject") == 'CN=a "quoted" name, with; all\\that,O=Lab'
    assert element.one("uri") == "spiffe://lab.example/a"
    assert [value for key, value in element.pairs if key == "dns"] == ["a.example", "b.example"]


def test_keys_are_read_in_any_case() -> None:
    assert sole(b"hASH=aa;URI=spiffe://x/y").one("hash") == "aa"


def test_checklist_18_an_empty_uri_is_no_uri() -> None:
    assert sole(b"Hash=aa;URI=").one("uri") == ""
    with pytest.raises(Malformed):
        sole(b"Hash=aa;URI=;URI=spiffe://lab.example/admin").one("uri")


def test_checklist_18_a_uri_that_a_san_has_injected_is_refused() -> None:
    with pytest.raises(Malformed):
        sole(b"Hash=aa;URI=spiffe://lab.example/x;URI=spiffe://lab.example/admin").one("uri")


def test_checklist_18_an_element_that_a_san_has_injected_is_not_ours() -> None:
    """A certificate has the URI `spiffe://lab.example/x,By=..;Hash=..;URI=..`: of two elements the last is forged."""
    header = b"By=spiffe://p;Hash=aa;URI=spiffe://lab.example/x,By=spiffe://p;Hash=bb;URI=spiffe://lab.example/admin"
    assert len(parse(header)) == 2
    with pytest.raises(Malformed):
        sole(header)


def test_checklist_18_a_client_s_own_header_before_the_proxy_s_is_refused() -> None:
    with pytest.raises(Malformed):
        sole(b"Hash=aa;URI=spiffe://lab.example/admin," + ENVOY)


def test_checklist_18_an_open_quote_swallows_nothing() -> None:
    with pytest.raises(Malformed):
        parse(b'Subject="abc,' + ENVOY)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b" ",
        b",",
        b";",
        b"=",
        b"Hash",
        b"Hash=aa;",
        b"Hash=aa,",
        b",Hash=aa",
        b"Hash=aa;;URI=x",
        b"Hash=aa, Hash=bb",
        b" Hash=aa",
        b"Hash=aa ",
        b"Hash =aa",
        b"Hash=a a",
        b"Hash==aa",
        b"URI=spiffe://x/y?a=b",
        b"Hash=aa;Hash=bb",
        b"Hash=aa;hash=bb",
        b'Cert="a";CERT="b"',
        b"Other=aa",
        b"Hash2=aa",
        b'Subject="a"b',
        b'Subject=a"b"',
        b'Subject="a',
        b'Subject="a\\',
        b'Subject="a\\"',
        b"URI=a\\;b",
        b'Subject=""";URI=x',
        b"Hash=a\0a",
        b"Hash=aa\r\nURI=x",
        b"Hash=aa\n",
        b'Subject="a\nb"',
        b'Subject="a\\\nb"',
        'Subject="é"'.encode(),
        "URI=ï".encode("latin-1"),
        b"Hash=" + b"a" * MAX_BYTES,
        b",".join([b"Hash=aa"] * (MAX_ELEMENTS + 1)),
        b";".join([b"DNS=a"] * (MAX_PAIRS + 1)),
    ],
)
def test_checklist_18_what_envoy_never_writes_is_refused(header: bytes) -> None:
    with pytest.raises(Malformed):
        sole(header)


@given(st.binary(max_size=300) | st.text('HashURIDNScertBy=",;\\a ', max_size=120).map(str.encode))
def test_any_bytes_are_elements_or_refused(data: bytes) -> None:
    try:
        elements = parse(data)
    except Malformed:
        return
    assert elements
    for element in elements:
        assert element.pairs
        assert all(key in KEYS for key, _ in element.pairs)


VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@given(st.lists(st.tuples(st.sampled_from(["URI", "By", "dns"]), VALUES), min_size=1, max_size=8))
def test_what_is_quoted_is_read_back(pairs: list[tuple[str, str]]) -> None:
    quoted = ((key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in pairs)
    header = ";".join(f'{key}="{value}"' for key, value in quoted)
    assert sole(header.encode()).pairs == tuple((key.lower(), value) for key, value in pairs)
