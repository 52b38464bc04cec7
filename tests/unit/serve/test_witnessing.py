"""Asking a witness: what it gives is stored below the checkpoint; what it does wrong is said and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checking.verify import verify
from pdp.audit.checking.witness import Witness
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, cosign, note
from pdp.audit.tree.cosign import Asked
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import Sealer
from pdp.serve import witnessing
from pdp.serve.witnessing import Asker, Given, WitnessError, store
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, salt, sealed

TIME = 1_800_000_000
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
OURS = cosign.named("witness.example/w1", PRIVATE)
ASKED = Asked("one", "http://127.0.0.1:1", OURS)


def witness(state: Path, host: Path) -> Witness:
    return Witness(state, OURS.name, PRIVATE, {ORIGIN: [published(host / "keys")[0]]})


class Posted:
    """Straight to a witness, without a network."""

    def __init__(self, to: Witness) -> None:
        self.to = to
        self.paths: list[str] = []

    def __call__(self, path: str, body: bytes, /) -> tuple[int, bytes]:
        self.paths.append(path)
        answer = self.to.add_key(body) if path == "/add-key" else self.to.add_checkpoint(body, TIME)
        return answer.status, answer.body.encode()


@pytest.fixture
def host(tmp_path: Path) -> Path:
    directory = tmp_path / "host"
    Writer(directory).write(300)
    sealed(directory)
    return directory


def size_of(host: Path) -> int:
    return checkpoint.last(host / "log") or 0


def cosigned(data: bytes) -> list[cosign.Cosignature]:
    return cosign.cosignatures(note.parse(data), [OURS])


def test_what_it_gives_is_below_the_checkpoint_and_the_log_is_as_whole_as_before(tmp_path: Path, host: Path) -> None:
    given = Asker(ASKED, host, Posted(witness(tmp_path / "w", host))).ask(300)
    store(host / "log", given, Files())
    store(host / "log", given, Files())
    for name in ("checkpoint", checkpoint.place(300)):
        assert cosigned((host / "log" / name).read_bytes()) == [cosign.Cosignature(OURS, TIME)]
    report = verify(host, published(host / "keys"))
    assert (report.findings, report.size) == ([], 300)
    sealer = Sealer(host, ORIGIN, salt=salt)
    assert sealer.step(NOW + SECOND).size == 300
    assert cosigned((host / "log/checkpoint").read_bytes())


def test_a_newer_checkpoint_is_not_replaced_by_an_older_one_that_was_cosigned(tmp_path: Path, host: Path) -> None:
    given = Asker(ASKED, host, Posted(witness(tmp_path / "w", host))).ask(300)
    Writer(host, 1).write(5)
    sealed(host)
    store(host / "log", given, Files())
    assert checkpoint.read((host / "log/checkpoint").read_bytes(), published(host / "keys")).checkpoint.size == 305
    assert cosigned((host / "log" / checkpoint.place(300)).read_bytes())


def test_it_goes_on_from_what_the_witness_knows(tmp_path: Path, host: Path) -> None:
    posted = Posted(witness(tmp_path / "w", host))
    Asker(ASKED, host, posted).ask(300)
    Writer(host, 1).write(400)
    sealed(host)
    again = Asker(ASKED, host, posted)
    assert again.ask(700).size == 700
    assert posted.paths == ["/add-checkpoint"] * 3  # The first one of the second asker was told the size.
    assert again.ask(700).size == 700


def test_a_log_that_was_set_back_is_told_so(tmp_path: Path, host: Path) -> None:
    posted = Posted(witness(tmp_path / "w", host))
    Writer(host, 1).write(400)
    sealed(host)
    Asker(ASKED, host, posted).ask(700)
    asker = Asker(ASKED, host, posted)
    with pytest.raises(WitnessError, match="set back"):
        asker.ask(300)
    assert asker.standing.problem


def test_a_log_that_was_forked_is_told_so(tmp_path: Path, host: Path) -> None:
    posted = Posted(witness(tmp_path / "w", host))
    Asker(ASKED, host, posted).ask(300)
    other = tmp_path / "other"
    Writer(other).write(400, ',"other":1')
    (other / "keys").mkdir()
    for each in ("1.key", "1.vkey"):
        (other / "keys" / each).write_bytes((host / "keys" / each).read_bytes())
        (other / "keys" / each).chmod(0o600)
    sealed(other)
    with pytest.raises(WitnessError, match="forked"):
        Asker(ASKED, other, posted).ask(400)


def test_a_witness_that_does_not_know_the_new_key_is_shown_its_record(tmp_path: Path) -> None:
    host = tmp_path / "host"
    writer = Writer(host)
    for epoch in range(4):
        writer.write(40)
        sealed(host, NOW + epoch * 10 * SECOND, epoch_seconds=10)
    posted = Posted(witness(tmp_path / "w", host))
    assert Asker(ASKED, host, posted).ask(size_of(host)).at == TIME
    assert posted.paths.count("/add-key") == 3


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"", "not to be trusted"),
        (200, b"garbage", "not to be trusted"),
        (200, b"\xff", "not to be trusted"),
        (400, b"", "does not understand"),
        (404, b"", "does not watch"),
        (403, b"", "does not know the key"),
        (409, b"", "which size"),
        (409, b"-1\n", "which size"),
        (409, b"9" * 40, "which size"),
        (409, b"17\n", "another size each time"),
        (409, b"301\n", "set back"),
        (422, b"", "forked"),
        (500, b"", "500"),
        (302, b"", "302"),
    ],
)
def test_what_a_witness_may_answer_is_a_problem_and_nothing_else(
    host: Path, status: int, body: bytes, why: str
) -> None:
    before = (host / "log/checkpoint").read_bytes()
    asker = Asker(ASKED, host, lambda _path, _body: (status, body))
    with pytest.raises(WitnessError, match=why):
        asker.ask(300)
    assert why in asker.standing.problem
    assert (host / "log/checkpoint").read_bytes() == before


def test_a_cosignature_of_another_key_or_another_checkpoint_is_not_taken(host: Path) -> None:
    text = note.parse((host / "log/checkpoint").read_bytes()).text
    other = Ed25519PrivateKey.generate()
    for line in (
        cosign.cosigned(text, OURS.name, other, TIME),  # its number is not the one of the key
        cosign.cosigned(text.replace("\n300\n", "\n301\n"), OURS.name, PRIVATE, TIME),
        cosign.cosigned(text, "somebody.else", other, TIME),
        note.sign(text, OURS.name, PRIVATE).decode().rpartition("\n\n")[2],  # a signature, not a cosignature
    ):
        with pytest.raises(WitnessError, match=r"trusted|another key"):
            Asker(ASKED, host, lambda _path, _body, line=line: (200, line.encode())).ask(300)  # type: ignore[misc]


def test_only_the_line_of_the_key_that_was_configured_is_stored(host: Path) -> None:
    text = note.parse((host / "log/checkpoint").read_bytes()).text
    lines = cosign.cosigned(text, "somebody.else", Ed25519PrivateKey.generate(), TIME)
    lines += cosign.cosigned(text, OURS.name, PRIVATE, TIME)
    given = Asker(ASKED, host, lambda _path, _body: (200, lines.encode())).ask(300)
    store(host / "log", given, Files())
    assert b"somebody.else" not in (host / "log/checkpoint").read_bytes()


def test_a_second_cosignature_of_one_witness_replaces_the_first(host: Path) -> None:
    text = note.parse((host / "log/checkpoint").read_bytes()).text
    for at in (TIME, TIME + 5):
        store(host / "log", Given(300, cosign.cosigned(text, OURS.name, PRIVATE, at), at), Files())
    assert [each.at for each in cosigned((host / "log/checkpoint").read_bytes())] == [TIME + 5]


class Enough(BaseException):
    """The thread would go on for ever."""


def test_a_witness_that_fails_is_asked_again_after_a_pause_also_where_no_record_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers: list[Given | None] = [None, None, Given(1, "line", TIME)]
    pauses: list[float] = []

    def ask(_: Asker, size: int) -> Given:
        given = answers.pop(0)
        if given is None:
            raise WitnessError("it is gone")
        return given

    def slept(seconds: float) -> None:
        pauses.append(seconds)
        if not answers:
            raise Enough

    monkeypatch.setattr(Asker, "ask", ask)
    monkeypatch.setattr(witnessing.time, "sleep", slept)
    thread = witnessing._Thread(Asker(ASKED, tmp_path), newest=1)
    thread.wake.set()  # Once.
    with pytest.raises(Enough):
        thread.run()
    assert [each.line for each in thread.found] == ["line"]
    assert pauses == [ASKED.interval_seconds * factor for factor in (2, 4, 1)]
    assert not thread.wake.is_set()
