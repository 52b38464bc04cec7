"""Is an evidence pack whole, and what does it show? Offline, with public keys alone; nothing is unpacked to disk."""

from __future__ import annotations

import json
import re
import tarfile
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pdp.audit.asking.within import Progress
from pdp.audit.checking import proof
from pdp.audit.checking.history import Rotation, rotation
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import PLAIN, instant, leaf
from pdp.audit.reports import policies
from pdp.audit.reports.pack import END, MANIFEST, NOTE, RANGE, RECORDS, START, VERSION
from pdp.audit.tree import checkpoint, merkle, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.merkle import EMPTY, HASH_BYTES, Frontier, ProofError
from pdp.audit.tree.note import NoteError, VerifierKey
from pdp.audit.tree.tiles import WIDTH, unpacked

MAX_SMALL: Final = 64 << 20
MAX_FILES: Final = 10_000_000
BLOCK: Final = 512
OWN: Final = "/sealer/"
CHUNK: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(slots=True)
class Checked:
    """`findings`: what is wrong, one sentence each. `notes`: what it shows less than it could."""

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    signers: list[str] = field(default_factory=list)
    log_signers: list[str] = field(default_factory=list)
    records: int = 0
    inside: int = 0  # records whose time is in the period
    policies: list[str] = field(default_factory=list)
    verified: dict[str, Any] = field(default_factory=dict)
    reviews: int = 0


class _Wrong(Exception):
    """What makes going on pointless."""


_ODD: Final = (
    *(tarfile.TarError, EOFError, ValueError, KeyError, TypeError),
    *(RecursionError, AttributeError, OverflowError),
)
"""What comes of bytes that say something else than they should."""


def check(path: Path, keys: Sequence[VerifierKey], progress: Progress = lambda _, __: None) -> Checked:
    """`keys`: the organisation's, and the log's where it is known. Raises OSError for what cannot be read."""
    found = Checked()
    try:
        _plain(path)
        with tarfile.open(path, mode="r:") as tar:
            _Checker(tar, keys, found, progress).run()
    except _Wrong as wrong:
        found.findings.append(str(wrong))
    except (EvidenceError, NoteError) as error:
        found.findings.append(f"this is no evidence pack, or a damaged one: {error}")
    except _ODD as error:
        found.findings.append(f"this is no evidence pack, or a damaged one ({type(error).__name__})")
    return found


class _Checker:
    def __init__(
        self,
        tar: tarfile.TarFile,
        keys: Sequence[VerifierKey],
        found: Checked,
        progress: Progress,
    ) -> None:
        self._tar = tar
        self._keys = list(keys)
        self._found = found
        self._progress = progress
        self._members: dict[str, tarfile.TarInfo] = {}
        self._sums: dict[str, str] = {}
        self._rotations: list[Rotation] = []  # shown under the signature of the key before

    def run(self) -> None:
        self._read()
        self._signed()
        self._listed()
        self._log()
        self._rest()

    # --------------------------------------------------------------------------------------------------- the archive

    def _read(self) -> None:
        """Every file once, for its sum."""
        for member in self._tar:
            name = member.name
            if not member.isreg() or member.issparse() or not _NAME.fullmatch(name) or ".." in name.split("/"):
                raise _Wrong(f"{name[:80]!r} is no file that a pack has")
            if name in self._members:
                raise _Wrong(f"{name} is there twice")
            if len(self._members) >= MAX_FILES:
                raise _Wrong("there are too many files")
            self._members[name] = member
            self._sums[name] = self._sum(member)

    def _sum(self, member: tarfile.TarInfo) -> str:
        hashed, file = sha256(), self._tar.extractfile(member)
        assert file is not None
        size = 0
        while data := file.read(CHUNK):
            hashed.update(data)
            size += len(data)
        if size != member.size:
            raise _Wrong(f"{member.name} is cut short")
        return hashed.hexdigest()

    def _content(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise _Wrong(f"{name} is missing")
        if member.size > MAX_SMALL:
            raise _Wrong(f"{name} is too long")
        file = self._tar.extractfile(member)
        assert file is not None
        return file.read()

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self._content(name))
        except ValueError as error:
            raise _Wrong(f"{name} is no JSON") from error

    # ----------------------------------------------------------------------------------------------------- signatures

    def _signed(self) -> None:
        found, manifest = self._found, self._content(MANIFEST)
        try:
            signed = note.parse(self._content(NOTE))
            signers = note.verified(signed, self._keys)
        except NoteError as error:
            raise _Wrong(f"{NOTE} is not to be trusted: {error}") from error
        lines = signed.text.split("\n")
        if len(lines) != 5 or lines[0] != VERSION or lines[4]:
            raise _Wrong(f"{NOTE} signs something else than a pack")
        if lines[3] != b64encode(sha256(manifest).digest()).decode():
            raise _Wrong(f"{MANIFEST} is not the one that was signed")
        said = self._json(MANIFEST)
        if not isinstance(said, dict) or said.get("origin") != lines[1]:
            raise _Wrong(f"{MANIFEST} is of another log than {NOTE}")
        if [str(said["log"]["size_from"]), str(said["log"]["size_to"])] != lines[2].split(" "):
            raise _Wrong(f"{MANIFEST} is of another range than {NOTE}")
        words = [said["made"], said["period"]["says"], *(said["period"][name] or "" for name in ("from", "before"))]
        if not all(isinstance(each, str) for each in words):
            raise _Wrong(f"{MANIFEST} does not say of what period it is")
        found.manifest = said
        found.signers = [each.name for each in signers]
        if any(each.name == lines[1] for each in signers):
            found.findings.append("the pack is signed with a key of the log, which nobody but the sealer may use")

    def _listed(self) -> None:
        """Exactly the files that were signed, with these sums."""
        listed = {each["name"]: (each["size"], each["sha256"]) for each in self._found.manifest["files"]}
        there = self._members.keys() - {NOTE, MANIFEST}
        wrong = [f"{name} is missing" for name in sorted(listed.keys() - there)]
        wrong += [f"{name} is in no list that was signed" for name in sorted(there - listed.keys())]
        for name in sorted(there & listed.keys()):
            if listed[name] != (self._members[name].size, self._sums[name]):
                wrong.append(f"{name} is not the file that was signed")
        self._found.findings += wrong
        if wrong:
            raise _Wrong("so what the pack shows was not looked at")

    # -------------------------------------------------------------------------------------------------------- the log

    def _log(self) -> None:
        said = self._json(RANGE)
        begin, end = said["from"], said["to"]
        if (begin, end) != (self._found.manifest["log"]["size_from"], self._found.manifest["log"]["size_to"]):
            raise _Wrong(f"{RANGE} is of another range")
        keys = self._log_keys()
        first = self._checkpoint(START, begin, keys) if begin else Checkpoint("", 0, EMPTY)
        last = self._checkpoint(END, end, keys)
        try:
            if said["records"]:
                self._records(Frontier(begin, _hashes(said["frontier"])), first, last)
            else:
                merkle.check_consistency(begin, end, first.root, last.root, _hashes(said["consistency"]))
                self._found.notes.append("the records are not in it: it shows that the log continued, not what it says")
        except ProofError as error:
            raise _Wrong(f"the log: {error}") from error

    def _log_keys(self) -> list[VerifierKey]:
        """Those that were given, and what follows from them; else those of the pack, which proves less."""
        origin = self._found.manifest["origin"]
        known = [each for each in self._keys if each.name == origin]
        if not known:
            self._found.notes.append("no key of the log was given: that its keys are these is what the signer says")
            names = [name for name in self._members if name.startswith("keys/") and name.endswith(".vkey")]
            return [note.vkey(self._content(name).decode()) for name in sorted(names)]
        rotations = [name for name in sorted(self._members) if name.endswith(".tlog-proof")]
        grown = True
        while grown:
            grown = False
            for name in list(rotations):
                ended = self._next(name, known)
                if ended is not None:
                    rotations.remove(name)
                    self._rotations.append(ended)
                    known += [ended.after] if ended.after not in known else []
                    grown = True
        return known

    def _next(self, name: str, known: Sequence[VerifierKey]) -> Rotation | None:
        """What a record of the sealer's own says of a key, under the signature of the one before."""
        try:
            proven = proof.check(self._content(name), known)
        except ProofError:
            return None
        ended = rotation(proven.index, proven.record)
        own = proven.record.startswith(f'{{"stream":"{self._found.manifest["origin"]}{OWN}'.encode())
        return ended if own and ended is not None and ended.before in proven.signers else None

    def _may_sign(self, key: VerifierKey, size: int) -> bool:
        """Not before its epoch, and not after it."""
        return not any(
            (key == each.before and size > each.size) or (key == each.after and size <= each.size)
            for each in self._rotations
        )

    def _checkpoint(self, name: str, size: int, keys: Sequence[VerifierKey]) -> Checkpoint:
        try:
            read = checkpoint.read(self._content(name), [each for each in keys if self._may_sign(each, size)])
        except NoteError as error:
            raise _Wrong(f"{name} is not to be trusted: {error}") from error
        origin = self._found.manifest["origin"]
        if read.checkpoint.size != size or read.checkpoint.origin != origin:
            raise _Wrong(f"{name} is the checkpoint of another log, or of another size")
        if not any(each.name == origin for each in read.signers):
            raise _Wrong(f"{name} is not signed by a key of the log")
        self._found.log_signers = sorted({*self._found.log_signers, *(each.name for each in read.signers)})
        return read.checkpoint

    def _records(self, frontier: Frontier, first: Checkpoint, last: Checkpoint) -> None:
        """From one signed root to the other, record by record: none is missing, none was added or changed."""
        if frontier.root() != first.root:
            raise _Wrong(f"{RANGE} does not begin at {START}")
        begin, inside = first.size, False
        period = self._found.manifest["period"]
        for number in range(begin // WIDTH, -(-last.size // WIDTH)):
            for record in unpacked(self._content(f"{RECORDS}{number:012d}")):
                inside = _in(record, period)
                if inside and begin and frontier.size == begin:
                    self._found.notes.append(f"that nothing before record {begin} is of the period, the signer says")
                frontier.append(merkle.leaf(record))
                self._found.records += 1
                self._found.inside += inside
            self._progress(frontier.size - begin, last.size - begin)
        if frontier.size != last.size or frontier.root() != last.root:
            raise _Wrong(f"the records do not lead to {END}")
        if inside:
            self._found.notes.append(f"that nothing from record {last.size} on is of the period, the signer says")

    # ------------------------------------------------------------------------------------------------------- the rest

    def _rest(self) -> None:
        found = self._found
        for each in self._json("policies/index.json"):
            if not policies.DIGEST.fullmatch(each["digest"]):
                raise _Wrong("policies/index.json names what is no policy set")
            name = f"policies/{each['digest']}.tar"
            if name in self._members:
                policies.unpacked(self._content(name))
                found.policies.append(each["digest"])
            else:
                found.notes.append(f"the policy set {each['digest'][:16]} was in force, and was not kept")
        found.reviews = len(self._json("reviews.json"))
        found.verified = self._json("verify.json")
        if found.verified.get("exit_code"):
            found.notes.append("when the pack was made, `pdp audit verify` had findings: verify.json says which")
        if found.manifest["log"]["not_sealed_when_made"]:
            found.notes.append("some records of the period were not sealed when it was made, and are not in it")


def _plain(path: Path) -> None:
    """Nothing but files one behind the other, and nothing behind their end, so that every program reads the same; and
    no head that would be taken into memory, however long it says it is.
    """
    with path.open("rb") as file:
        while len(head := file.read(BLOCK)) == BLOCK and any(head):
            member = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
            if member.type != tarfile.REGTYPE or member.size < 0:
                raise _Wrong(f"{member.name[:80]!r} is no file that a pack has")
            file.seek(-(-member.size // BLOCK) * BLOCK, 1)
        while data := file.read(CHUNK):
            if data.strip(b"\0"):
                raise _Wrong("there is something behind the end of the archive")


def _in(record: bytes, period: dict[str, Any]) -> bool:
    try:
        time = leaf(None, record, PLAIN).time
    except EvidenceError:
        return False
    after, before = period["from"], period["before"]
    return (after is None or time >= instant(after)) and (before is None or time < instant(before))


def _hashes(given: Iterable[str]) -> list[bytes]:
    found = [bytes.fromhex(each) for each in given]
    if any(len(each) != HASH_BYTES for each in found):
        raise ProofError("what should be a hash is none")
    return found
