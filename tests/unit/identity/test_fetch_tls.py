"""Keys are only as good as the proof of who published them: TLS to an identity provider is verified, always."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pdp.identity.fetch import Wire
from pdp.identity.issuer import Access
from pdp.identity.keys import SourceError
from tests.service.certificates import Authority, Leaf
from tests.unit.identity.provider import providing


def context(leaf: Leaf, clients: Authority | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(leaf.certificate_file, leaf.key_file)
    if clients is not None:
        made.load_verify_locations(clients.certificate_file)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def fetched(url: str, **access: Path) -> bytes:
    return Wire(Access(timeout_milliseconds=3_000, **access)).get(url)


def test_checklist_24_keys_of_an_authority_that_is_not_ours_are_none(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with providing(context(ours.leaf(dns=["localhost"]))) as provider:
        provider.answers["/jwks"] = b"{}"
        url = provider.url.replace("http://127.0.0.1", "https://localhost") + "/jwks"
        assert fetched(url, ca_file=ours.certificate_file) == b"{}"
        with pytest.raises(SourceError, match="SSLError"):
            fetched(url)
        with pytest.raises(SourceError, match="SSLError"):
            fetched(url, ca_file=theirs.certificate_file)


def test_checklist_24_keys_of_another_host_are_none(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    with providing(context(ours.leaf(dns=["idp.hospital.example"]))) as provider:
        provider.answers["/jwks"] = b"{}"
        url = provider.url.replace("http://127.0.0.1", "https://localhost") + "/jwks"
        with pytest.raises(SourceError, match="SSLError"):
            fetched(url, ca_file=ours.certificate_file)


def test_our_own_certificate_is_shown_where_the_issuer_wants_one(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    client = ours.leaf(dns=["chaperone"])
    with providing(context(ours.leaf(dns=["localhost"]), ours)) as provider:
        provider.answers["/jwks"] = b"{}"
        url = provider.url.replace("http://127.0.0.1", "https://localhost") + "/jwks"
        proof = {"certificate_file": client.certificate_file, "key_file": client.key_file}
        assert fetched(url, ca_file=ours.certificate_file, **proof) == b"{}"
        with pytest.raises(SourceError):
            fetched(url, ca_file=ours.certificate_file)
