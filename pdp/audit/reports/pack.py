"""The evidence of a period in one file: records, checkpoints around them, policies, reviews, and a signed list of it.

    MANIFEST.json           every other file with its SHA-256, and what the pack is of
    PACK.note               a signed note over the manifest, by a key of the organisation
    log/checkpoint.from     the checkpoint before the first record of the period (none where it is the empty log)
    log/checkpoint.to       the checkpoint after the last
    log/range.json          what leads from one to the other: a frontier for the records, a consistency proof without
    log/records/<N>         the records between, each after its length as a big-endian uint16, by bundle
    keys/                   the keys of the log, and proofs of the records by which one key names the next
    policies/<digest>.tar   the policy sets that were in force, as far as they were kept; policies/index.json
    reviews.json            reviews and signatures of the period
    verify.json             what `pdp audit verify` said when the pack was made

Every byte of the tar follows from its content, so that two who make it of the same have the same.
"""

from __future__ import annotations

import io
import json
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.asking.deeds import text
from pdp.audit.asking.gathered import Contents, contents, sizes
from pdp.audit.asking.period import ALWAYS, Period, brief
from pdp.audit.asking.within import Progress
from pdp.audit.checking import proof
from pdp.audit.checking.verify import Report
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import Leaf
from pdp.audit.reports import policies
from pdp.audit.tree import checkpoint, merkle, note, tiles
from pdp.audit.tree.keys import published
from pdp.audit.tree.merkle import ProofError
from pdp.audit.tree.tiles import ENTRIES, WIDTH, Tiles, packed, part, unpacked, width_at

VERSION: Final = "pdp.evidence/v1"
NOTE: Final = "PACK.note"
MANIFEST: Final = "MANIFEST.json"
RANGE: Final = "log/range.json"
START: Final = "log/checkpoint.from"
END: Final = "log/checkpoint.to"
RECORDS: Final = "log/records/"


@dataclass(slots=True)
class Made:
    origin: str
    begin: int
    end: int
    files: int
    kept: list[str]  # policy sets that are in it
    missing: list[str]  # those that were in force and were not kept
    contents: Contents


class _Tar:
    """Writes, and remembers what was written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: list[dict[str, Any]] = []

    def add(self, name: str, data: bytes, listed: bool = True) -> None:
        self._tar.addfile(policies.member(name, len(data)), io.BytesIO(data))
        if listed:
            self.files.append({"name": name, "size": len(data), "sha256": sha256(data).hexdigest()})


def make(
    directory: Path,
    path: Path,
    period: Period,
    name: str,
    key: Ed25519PrivateKey,
    verified: Report,
    *,
    now: int,
    records: bool = True,
    found: Contents | None = None,
    progress: Progress = lambda _, __: None,
) -> Made:
    """Write the pack. `name`: of the key. `found`: where the log was read already. Raises EvidenceError and OSError."""
    own = published(directory / "keys")
    if note.verifier(name, key).public in {each.public for each in own}:
        raise EvidenceError("that is the key of the log: nobody but the sealer signs with it")
    found = found or contents(directory, period, progress)
    log = directory / "log"
    begin, end = sizes(log, found)
    if any(each.name == name for each in own):
        raise EvidenceError("the key has the name of the log; it needs one of its own")
    made = Made(own[0].name if own else verified.origin, begin, end, 0, [], [], found)
    temporary = path.with_name(path.name + ".tmp")
    opened = temporary.open("xb")
    try:
        with opened as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            temporary.chmod(0o600)
            out = _Tar(tar)
            _log(out, log, made, records, progress)
            _keys(out, directory, found)
            _policies(out, directory, made)
            out.add("reviews.json", _json(_reviews(found, period)))
            out.add("verify.json", _json(_verified(verified)))
            out.add("README.txt", README.encode())
            _sign(out, made, period, name, key, now, records)
        temporary.rename(path)
    except ProofError as error:
        raise EvidenceError(f"the pack cannot be made: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    made.files = len(out.files)
    return made


def _log(out: _Tar, log: Path, made: Made, records: bool, progress: Progress) -> None:
    begin, end = made.begin, made.end
    if begin:
        out.add(START, tiles.content(log, checkpoint.place(begin)))
    out.add(END, tiles.content(log, checkpoint.place(end)))
    perfect = Tiles(log, end).perfect
    said: dict[str, Any] = {"from": begin, "to": end, "records": records}
    if records:
        said["frontier"] = [each.hex() for each in merkle.frontier(begin, perfect).peaks]
    else:
        said["consistency"] = [each.hex() for each in merkle.consistency(begin, end, perfect)]
    out.add(RANGE, _json(said))
    for number, data in bundles(log, begin, end) if records else ():
        out.add(f"{RECORDS}{number:012d}", data)
        progress(min(end, (number + 1) * WIDTH) - begin, end - begin)


def bundles(log: Path, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The records from index `begin` up to `end`, by bundle; what is not of the range is left out."""
    for number in range(begin // WIDTH, -(-end // WIDTH)):
        start = number * WIDTH
        entries = unpacked(part(log, ENTRIES, number, width_at(end, 0, number)))
        yield number, b"".join(map(packed, entries[max(0, begin - start) : end - start]))


def _keys(out: _Tar, directory: Path, found: Contents) -> None:
    for number, key in enumerate(published(directory / "keys"), 1):
        out.add(f"keys/{number}.vkey", f"{key}\n".encode())
    log = directory / "log"
    for number, (index, record) in enumerate(found.rotations, 1):
        size = next((each for each in checkpoint.kept(log) if each > index), None)
        if size is not None:
            out.add(f"keys/rotation-{number}.tlog-proof", _proof(log, index, record, size))


def _proof(log: Path, index: int, record: bytes, size: int) -> bytes:
    """That a record stands in the tree of a kept checkpoint (c2sp.org/tlog-proof)."""
    path = merkle.inclusion(index, size, Tiles(log, size).perfect)
    lines = [proof.HEADER, f"extra {b64encode(record).decode()}", f"index {index}"]
    lines += [b64encode(each).decode() for each in path]
    return "\n".join([*lines, "", ""]).encode() + tiles.content(log, checkpoint.place(size))


def _policies(out: _Tar, directory: Path, made: Made) -> None:
    index = []
    for digest, (number, first, last) in sorted(made.contents.policies.items()):
        try:
            data = policies.place(directory, digest).read_bytes()
        except (OSError, EvidenceError):
            made.missing.append(digest)
        else:
            made.kept.append(digest)
            out.add(f"policies/{digest}.tar", data)
        index.append(
            {
                "digest": digest,
                "decisions": number,
                "first": brief(first) if first else None,
                "last": brief(last) if last else None,
                "in_force_at_the_beginning": digest == made.contents.before,
                "kept": digest in made.kept,
            }
        )
    out.add("policies/index.json", _json(index))


def _reviews(found: Contents, period: Period) -> list[dict[str, Any]]:
    """Those that were made in the period, or are of it, and their signatures. Nothing that is hidden."""
    inside = {each.id for each in found.reviews if each.time in period or _overlaps(each, period)}
    chosen = [each for each in found.reviews if each.id in inside or text(each.members, "review") in inside]
    return [
        {"index": each.index, **{name: said for name, said in each.members.items() if name != "detail"}}
        for each in chosen
    ]


def _overlaps(leaf: Leaf, period: Period) -> bool:
    said = leaf.members.get("period")
    if not isinstance(said, list) or len(said) != 2 or not all(isinstance(each, int) for each in said):
        return False
    return bool(said[0] < period.after and said[1] > period.first)


def _verified(report: Report) -> dict[str, Any]:
    return {
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "streams": report.streams,
        "exit_code": report.code,
        "findings": [{"kind": each.kind.word, "message": str(each), "index": each.index} for each in report.findings],
    }


def _sign(out: _Tar, made: Made, period: Period, name: str, key: Ed25519PrivateKey, now: int, records: bool) -> None:
    found = made.contents
    manifest = _json(
        {
            "v": VERSION,
            "origin": made.origin,
            "period": {
                "from": None if period.first == ALWAYS[0] else brief(period.first),
                "before": None if period.after == ALWAYS[1] else brief(period.after),
                "says": period.text,
            },
            "made": brief(now),
            "log": {
                "size_from": made.begin,
                "size_to": made.end,
                "records_of_the_period": found.records,
                "not_sealed_when_made": found.waiting,
                "first": brief(found.begins) if found.begins else None,
                "last": brief(found.ends) if found.ends else None,
                "in_the_pack": records,
            },
            "policy_sets_not_kept": made.missing,
            "files": sorted(out.files, key=lambda each: str(each["name"])),
        }
    )
    out.add(MANIFEST, manifest, listed=False)
    text_of = f"{VERSION}\n{made.origin}\n{made.begin} {made.end}\n{b64encode(sha256(manifest).digest()).decode()}\n"
    out.add(NOTE, note.sign(text_of, name, key), listed=False)


def _json(said: Any) -> bytes:
    return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode()


README: Final = """\
Evidence of a period of an audit log.

    pdp audit report check THIS.tar --vkey KEY-OF-THE-ORGANISATION --vkey KEY-OF-THE-LOG

says whether it is whole, offline and without the log. PACK.note (c2sp.org/signed-note) signs MANIFEST.json, which has
the SHA-256 of every other file. The checkpoints (c2sp.org/tlog-checkpoint) are those of the log; log/range.json leads
from one to the other, record by record, with the hashes of RFC 6962. policies/ has the policy sets that records name.

Records say who asked for what about whom, under pseudonyms where the log has them; details are encrypted. Give this to
who may read the log, never to an individual who asks for an accounting of disclosures.
"""
