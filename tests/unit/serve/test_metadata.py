"""The metadata: of the settings alone, and a signature only by a key that is one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from pdp.config import Profile, Settings
from pdp.model.decision import Capabilities
from pdp.serve import metadata
from tests.in_time import in_time


def made(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(metadata.document(Settings(public_url="https://pdp.example", **settings), 5))
    return found


def profile(name: str = "p", **members: Any) -> Profile:
    return Profile(name, b"secret", **members)


def test_only_what_some_enforcement_point_may_do_is_offered() -> None:
    assert "search_subject_endpoint" not in made()
    assert "supported_obligations" not in made()
    proxy = profile(doors=frozenset({"grpc"}), search=True, capabilities=Capabilities(True, frozenset({"log_it"})))
    assert made(profiles=(proxy,)) == made()
    one = profile(search=True, capabilities=Capabilities(False, frozenset({"notification"})))
    two = profile("q", capabilities=Capabilities(False, frozenset({"step_up"})))
    found = made(profiles=(one, two))
    assert found["search_subject_endpoint"] == "https://pdp.example/access/v1/search/subject"
    assert found["supported_obligations"] == ["notification", "step-up"]


def test_the_document_stands_at_the_paths_that_are_ours() -> None:
    plain = "/.well-known/authzen-configuration"
    assert metadata.answers(Settings(public_url="https://pdp.example"), 5).keys() == {plain.encode()}
    found = metadata.answers(Settings(public_url="https://pdp.example/a/b"), 5)
    assert found.keys() == {plain.encode(), f"{plain}/a/b".encode()}
    for answer in found.values():
        status, headers, _ = answer()
        assert status == 200
        headers.append((b"content-length", b"1"))
    assert len(next(iter(found.values()))()[1]) == 2  # Each answer has headers of its own.


def private(key: Any, password: bytes = b"") -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))


@pytest.mark.parametrize(
    ("key", "algorithm", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256", ECKey),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA", OKPKey),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_the_signature_says_what_the_document_says(tmp_path: Path, key: Any, algorithm: str, kind: Any) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(private(key))
    found = made(metadata_key_file=file)
    public = kind.import_key(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signed = jwt.decode(found.pop("signed_metadata"), public, algorithms=[algorithm])
    assert signed.claims == {**found, "iss": "https://pdp.example", "iat": 5}
    assert metadata.problems(Settings(public_url="https://pdp.example", metadata_key_file=file)) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        private(rsa.generate_private_key(65537, 2048)),
        private(ec.generate_private_key(ec.SECP384R1())),
        private(ec.generate_private_key(ec.SECP256R1()), b"password"),
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_what_is_no_key_for_it_is_said_at_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    (problem,) = metadata.problems(Settings(metadata_key_file=file))
    assert problem.startswith(f"metadata_key_file: {file} must hold a private key on P-256 or Ed25519")


def test_a_pipe_in_place_of_a_key_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key.pem")
    (problem,) = in_time(lambda: metadata.problems(Settings(metadata_key_file=tmp_path / "key.pem")))
    assert "not a regular file" in problem


def test_a_key_file_that_is_not_there_is_said_at_start(tmp_path: Path) -> None:
    (problem,) = metadata.problems(Settings(metadata_key_file=tmp_path / "none"))
    assert "cannot be read" in problem
