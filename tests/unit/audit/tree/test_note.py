"""c2sp.org/signed-note: the specification's example, and every way in which a note is not one."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.tree import note
from pdp.audit.tree.note import BadSignature, NoteError, UnknownSigner, VerifierKey, parse, verified, verifier, vkey

KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = """This is an example message.

\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()


def private(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def test_the_example_of_the_specification_verifies() -> None:
    key = vkey(KEY)
    found = parse(EXAMPLE)
    assert found.text == "This is an example message.\n"
    assert verified(found, [key]) == (key,)
    assert str(key) == KEY


def test_the_example_does_not_verify_once_a_letter_is_another() -> None:
    with pytest.raises(BadSignature):
        verified(parse(EXAMPLE.replace(b"message", b"massage")), [vkey(KEY)])


def test_what_we_sign_we_verify_and_the_same_text_gives_the_same_bytes() -> None:
    data = note.sign("a\n\nb\n", "log.example/x", private(1))
    assert data == note.sign("a\n\nb\n", "log.example/x", private(1))
    assert parse(data).text == "a\n\nb\n"
    assert verified(parse(data), [verifier("log.example/x", private(1))])


def test_signatures_of_others_are_ignored_but_somebody_must_be_known() -> None:
    data = note.sign("a\n", "one", private(1)) + note.sign("a\n", "two", private(2)).split(b"\n\n")[1]
    for name, seed in (("one", 1), ("two", 2)):
        assert [each.name for each in verified(parse(data), [verifier(name, private(seed))])] == [name]
    for stranger in (verifier("one", private(2)), verifier("three", private(1))):
        with pytest.raises(UnknownSigner):
            verified(parse(data), [stranger])


def test_a_wrong_signature_of_a_known_key_spoils_the_note_beside_a_right_one() -> None:
    one, two = verifier("one", private(1)), verifier("two", private(2))
    forged = b64encode(two.number + bytes(64)).decode()
    data = note.sign("a\n", "one", private(1)) + f"\u2014 two {forged}\n".encode()
    assert verified(parse(data), [one]) == (one,)
    with pytest.raises(BadSignature):
        verified(parse(data), [one, two])


def test_sixteen_signatures_are_read() -> None:
    data = note.sign("a\n", "k0", private(1))
    for number in range(1, 16):
        data += note.sign("a\n", f"k{number}", private(number + 1)).split(b"\n\n")[1]
    assert len(parse(data).signatures) == 16


LINE = "\u2014 n " + b64encode(bytes(68)).decode() + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        "text" + "\n" + LINE,
        "text\n\n" + LINE[:-1],
        "text\n\n" + LINE.replace("\u2014", "-"),
        "text\n\n" + LINE.replace(" n ", " "),
        "text\n\n" + LINE.replace(" n ", "  "),
        "text\n\n" + LINE.replace(" n ", " a+b "),
        "text\n\n" + LINE.replace(" n ", " a\u00a0b "),
        "text\n\n" + LINE.replace("=\n", "\n"),
        "text\n\n\u2014 n AAAA\n",
        "text\n\n\u2014 n AAAA!AAA\n",
        "te\rxt\n\n" + LINE,
        "te\x00xt\n\n" + LINE,
        "text\n\n" + LINE + "more\n",
        "text\n\n" + LINE * 101,
    ],
)
def test_what_is_not_a_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse(text.encode())


def test_bytes_that_are_not_utf8_or_too_many_are_refused() -> None:
    for data in (b"\xff\n\n" + LINE.encode(), b"a" * note.MAX_BYTES + b"\n\n" + LINE.encode()):
        with pytest.raises(NoteError):
            parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_note_or_refused(data: bytes) -> None:
    with suppress(NoteError):
        parse(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        KEY.replace("530d903a", "530D903A"),
        KEY.replace("example.com/foo", ""),
        KEY.replace("example.com/foo", "a b"),
        KEY[:-4],
        KEY[:-1] + "!",
        KEY.replace("AekyeRrm", "BOkyeRrm"),
    ],
)
def test_what_is_not_a_vkey_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        vkey(text)


def test_a_key_that_is_no_point_of_the_curve_verifies_nothing() -> None:
    assert not VerifierKey("n", b"\xff" * 32).signed(b"", bytes(64))


@pytest.mark.parametrize(
    ("text", "name"), [("no newline", "n"), ("a\tb\n", "n"), ("a\n", "a+b"), ("a\n", "a b"), ("a\n", "")]
)
def test_what_would_not_be_a_note_is_not_signed(text: str, name: str) -> None:
    with pytest.raises(NoteError):
        note.sign(text, name, private(1))


def test_aics_tlog_verifies_what_we_sign_and_we_what_it_signs() -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    key = verifier("log.example/x", private(1))
    ours = note.sign("a\n", "log.example/x", private(1))
    assert aics.verify_note(aics.parse_note(ours), [aics.parse_vkey(str(key))])
    assert aics.Note("a\n", (aics.sign_note("a\n", private(1), "log.example/x"),)).serialise() == ours.decode()
