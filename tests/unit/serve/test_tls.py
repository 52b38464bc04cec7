"""What can be served with: the files, what is wrong with them, and what is only weak."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pdp.config import ConfigError, Settings
from pdp.serve import tls
from pdp.serve.tls import BadFiles, Files, Serving
from tests.in_time import in_time
from tests.service.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def files(authority: Authority) -> Files:
    leaf = authority.server()
    return Files(leaf.certificate_file, leaf.key_file, authority.certificate_file)


def encrypted(files: Files, _authority: Authority) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


BROKEN: list[tuple[Callable[[Files, Authority], object], str]] = [
    (lambda files, _: files.certificate.unlink(), "tls_certificate_file: .* cannot be read: No such file"),
    (lambda files, _: files.key.unlink(), "tls_key_file: .* cannot be read: No such file"),
    (lambda files, _: files.certificate.write_bytes(b""), "tls_certificate_file: .* holds no certificate"),
    (lambda files, _: files.certificate.write_bytes(files.key.read_bytes()), "holds no certificate"),
    (lambda files, _: files.key.write_bytes(b""), "tls_key_file: .* holds no private key"),
    (lambda files, _: files.key.write_bytes(files.certificate.read_bytes()), "holds no private key"),
    (lambda files, authority: files.key.write_bytes(authority.leaf().key_file.read_bytes()), "is not the key of"),
    (encrypted, "tls_key_file: .* is encrypted"),
    (lambda files, _: files.client_ca.write_bytes(b"x"), "tls_client_ca_file: .* holds no certificate"),  # type: ignore[union-attr]
    (lambda files, _: files.key.write_bytes(b"#" * 2_000_000), "is longer than"),
]


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(files: Files, name: str) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadFiles, match=f"tls_{name}.*not a regular file"):
        in_time(lambda: tls.read(files))


@pytest.mark.parametrize(("break_them", "sentence"), BROKEN)
def test_what_cannot_be_served_with_is_said_in_one_sentence(
    files: Files, authority: Authority, break_them: Callable[[Files, Authority], object], sentence: str
) -> None:
    tls.read(files)
    break_them(files, authority)
    with pytest.raises(BadFiles, match=sentence):
        tls.read(files)
    with pytest.raises(ConfigError, match=sentence):
        Serving(files)
    settings = Settings(
        tls_certificate_file=files.certificate, tls_key_file=files.key, tls_client_ca_file=files.client_ca
    )
    assert len(tls.problems(settings)) == 1


def test_a_context_is_strict(files: Files) -> None:
    made = tls.context(tls.read(files))
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.num_tickets == 0
    wanted = ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    assert made.options & wanted == wanted
    for cipher in made.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["name"].startswith(("TLS_", "ECDHE-")), cipher["name"]


def test_without_authorities_no_certificate_is_asked_for(files: Files) -> None:
    assert tls.context(tls.read(Files(files.certificate, files.key))).verify_mode is ssl.CERT_NONE


def test_the_key_is_in_no_text(files: Files) -> None:
    material = tls.read(files)
    assert b"PRIVATE" in material.key
    assert "PRIVATE" not in repr(material)


def test_a_change_is_taken_when_it_is_whole(files: Files, authority: Authority) -> None:
    serving = Serving(files)
    assert not serving.look()
    second, before = authority.server(), serving.material
    files.certificate.write_bytes(second.certificate_file.read_bytes())
    assert not serving.look()  # Half of a pair.
    assert serving.material is before
    files.key.write_bytes(second.key_file.read_bytes())
    assert serving.look()
    assert serving.material.certificate == second.pem
    assert serving.failures == 0
    assert not serving.look()


def test_the_same_content_in_a_new_file_is_no_change(files: Files) -> None:
    serving = Serving(files)
    content = files.certificate.read_bytes()
    files.certificate.unlink()
    files.certificate.write_bytes(content)
    assert not serving.look()


def test_files_behind_a_symlink_are_followed(tmp_path: Path, files: Files, authority: Authority) -> None:
    """As a mounted secret is replaced: one rename of a link, for both files."""
    for name, leaf in (("one", authority.server()), ("two", authority.server())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cert").write_bytes(leaf.pem)
        (tmp_path / name / "key").write_bytes(leaf.key_file.read_bytes())
    (tmp_path / "current").symlink_to("one")
    serving = Serving(Files(tmp_path / "current/cert", tmp_path / "current/key"))
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "current")
    assert serving.look()
    assert serving.material.certificate == (tmp_path / "two/cert").read_bytes()


@pytest.mark.parametrize(
    ("key", "fine"),
    [
        (rsa.generate_private_key(65_537, 2_048), True),
        (ec.generate_private_key(ec.SECP384R1()), True),
        (ec.generate_private_key(ec.SECP521R1()), False),
        (ed25519.Ed25519PrivateKey.generate(), False),
    ],
)
def test_a_key_that_grpc_and_envoy_do_not_take_is_warned_of(tmp_path: Path, key: Any, fine: bool) -> None:
    """Each call would fail in its handshake, while everything else works."""
    name, now = x509.Name([]), datetime.now(UTC)
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(1))
    files = Files(tmp_path / "certificate", tmp_path / "key")
    files.certificate.write_bytes(builder.sign(key, hashed).public_bytes(Encoding.PEM))
    files.key.touch(0o600)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    said = tls.warnings(Settings(tls_certificate_file=files.certificate, tls_key_file=files.key), 0)
    assert [fine, *("P-256" in each for each in said)] == ([True] if fine else [False, True])


def test_what_is_weak_is_warned_of(files: Files, authority: Authority) -> None:
    settings = Settings(tls_certificate_file=files.certificate, tls_key_file=files.key)
    assert tls.warnings(settings, 0) == []
    files.key.chmod(0o640)
    (said,) = tls.warnings(settings, 0)
    assert "may be read or written by others" in said
    files.key.chmod(0o600)
    (said,) = tls.warnings(settings, 10**17)
    assert "has expired" in said
    assert tls.warnings(Settings(), 0) == []
    old = authority.leaf(days=-1)
    assert tls.read(Files(old.certificate_file, old.key_file)).expires < 10**16  # Served, and warned of.
