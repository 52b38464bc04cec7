"""What the verbs of `pdp audit` share: which directory, which keys, and how far they are."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.failure import USAGE, Failure
from pdp.cli.reading import raw

if TYPE_CHECKING:
    from pdp.audit.leaf import Opener
    from pdp.audit.tree.note import VerifierKey
    from pdp.audit.veil.privacy import Veil
    from pdp.audit.veil.vault import Vault

MAX_FILE_BYTES: Final = 256 << 20
MAX_KEY_BYTES: Final = 1 << 20
OF_A_LOG: Final = ("log", "wal", "state", "privacy.json")
LINE_SECONDS: Final = 5.0
TERMINAL_SECONDS: Final = 0.2


def add_keys(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "--vkey",
        action="append",
        default=[],
        required=required,
        metavar="KEY",
        help="a verifier key (`name+hex+base64`), or a file of them; may be given several times",
    )


def directory(given: str, any_directory: bool = False) -> Path:
    """The audit directory: the one that was named, else the one of the settings. Raises Failure.

    Where no log is, nothing is found, and "nobody saw this patient" would be a false answer. `any_directory`: for
    `verify`, which also reads a copy of `log` alone and has a finding of its own, and for the keys without a log.
    """
    if not given:
        from pdp.config import ConfigError, load

        try:
            given = str(load(dict(os.environ), Path.cwd()).audit_dir)
        except ConfigError as error:
            listed = "\n".join(f"  {each}" for each in error.problems)
            raise Failure(f"the settings cannot be used:\n{listed}", "name the directory instead", USAGE) from error
    found = Path(given)
    if not found.is_dir():
        raise Failure(f"{found} is not a directory", "the audit directory is `audit_dir` in the settings")
    if not any_directory and not any((found / each).exists() for each in OF_A_LOG):
        if (found / "checkpoint").exists() or (found / "tile").exists():
            raise Failure(f"{found} is the `log` of an audit directory", "name the directory that it is in", USAGE)
        raise Failure(f"there is no audit log in {found}", "the audit directory is `audit_dir` in the settings", USAGE)
    return found


def keys_directory() -> Path | None:
    """`audit_keys_dir` of the settings; None where it is not set."""
    from pdp.config import ConfigError, load

    try:
        return load(dict(os.environ), Path.cwd()).audit_keys_dir
    except ConfigError:
        return None


def whole(name: str) -> bytes:
    """A file that was named. Raises Failure."""
    data = raw(name, MAX_FILE_BYTES)
    if len(data) > MAX_FILE_BYTES:
        raise Failure(f"{name} is longer than {MAX_FILE_BYTES >> 20} MiB")
    return data


def keys(given: list[str]) -> list[VerifierKey]:
    """Those of the command line. Raises Failure."""
    from pdp.audit.tree.note import NoteError, vkey

    texts = []
    for each in given:
        if "+" in each and not os.path.exists(each):
            texts.append(each)
        else:
            texts += raw(each, MAX_KEY_BYTES).decode("utf-8", "replace").split("\n")
    try:
        found = [vkey(text) for text in texts if text.strip()]
    except NoteError as error:
        raise Failure(f"--vkey: {error}", "it looks like `pdp.example/host+1a2b3c4d+AbC..`") from error
    if given and not found:
        raise Failure("--vkey: no key in what was given")
    return found


def keys_or_own(given: list[str], where: Path) -> list[VerifierKey]:
    """Those of the command line, else those beside the log, which prove less, and it is said."""
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.tree.keys import published

    if given:
        return keys(given)
    try:
        found = published(where / "keys")
    except EvidenceError as error:
        raise Failure(str(error)) from error
    if not found:
        raise Failure(f"there is no key in {where / 'keys'}", "--vkey names the one that you were given")
    print(f"pdp: the keys are those in {where / 'keys'}: who rewrote the log may have replaced them", file=sys.stderr)
    print("     hint: --vkey KEY with a key that was kept elsewhere", file=sys.stderr)
    return found


class Progress:
    """How far it is, on standard error: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._shown = False

    def __call__(self, done: int, size: int) -> None:
        now = time.monotonic()
        if now - self._said < (TERMINAL_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._said, self._shown = now, True
        text = f"{self._noun} {done:,} of {size:,} ({100 * done // max(1, size)} %)"
        print(f"\r{text}" if self._terminal else f"pdp: {text}", end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        if self._shown and self._terminal:
            print("\r\033[K", end="", file=sys.stderr)


def add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--directory", metavar="DIR", default="", help="the audit directory (else as the settings say)")
    add_privacy(parser)


def add_privacy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--privacy-dir", metavar="DIR", default="", help="the keys of the details (else where the log says they are)"
    )
    parser.add_argument(
        "--master-key-file", metavar="FILE", default="", help="the key of those keys, when it is not beside them"
    )


def vault(where: Path, args: argparse.Namespace | None = None) -> Vault | None:
    """The keys of this log, with `add_privacy`'s arguments; None where neither they nor the log name any."""
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.veil.privacy import vault_of

    given, master = getattr(args, "privacy_dir", ""), getattr(args, "master_key_file", "")
    try:
        return vault_of(where, Path(given) if given else None, Path(master) if master else None)
    except EvidenceError as error:
        raise Failure(str(error)) from error


def opener(where: Path, args: argparse.Namespace | None = None) -> Opener:
    """What opens the details of this log, as far as whoever asks has the keys; what they have not is said once."""
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.leaf import PLAIN
    from pdp.audit.tree import state
    from pdp.audit.veil.privacy import Keys

    found = vault(where, args)
    if found is None:
        if not (where / state.DIRECTORY).is_dir():
            print(f"pdp: {where} names no keys: details that are encrypted stay so (--privacy-dir)", file=sys.stderr)
        return PLAIN
    try:
        found.check()
    except EvidenceError as error:
        print(f"pdp: {error}: details stay encrypted", file=sys.stderr)
    return Keys(found)


def new_veil(where: Path) -> Veil | None:
    """What ids are hidden with in a log that does not say yet, because no service has written to it since it can."""
    from pdp.audit.veil import privacy
    from pdp.config import ConfigError, load
    from pdp.serve import veiling

    if privacy.read(where) is not None:
        return None
    try:
        settings = load(dict(os.environ), Path.cwd())
    except ConfigError:
        return None
    veil = veiling.veil(settings) if settings.audit_dir.resolve() == where.resolve() else None
    if veil is not None:
        veil.make()
    return veil


def origin_to_write(where: Path, code: int = USAGE) -> str:
    """What a log that is written to is called. Raises Failure, with this code, for a copy of one."""
    from pdp.audit.tree import state

    known = state.read(where)
    if known is None:
        raise Failure(f"{where} is a copy of a log: nothing is put on record in it", code=code)
    return known.origin


def recorded(where: Path, kind: str, said: Mapping[str, Any], detail: Mapping[str, Any] | None = None) -> str:
    """Put on record what is about to be done with the log, before it is done. Raises Failure: it must not be done.
    Ids of people and things stand in `detail`, which is encrypted. The id of the record.

    Where nothing is written any more, because it is a copy of the log alone, that is said, and it goes on.
    """
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.tell import tell
    from pdp.audit.tree import state

    try:
        known = state.read(where)
        if known is None:
            # A log that is written to is no copy because its state was taken away: nobody reads it off the record so.
            if (where / "wal").is_dir() and (where / "log").is_dir():
                lost = where / state.DIRECTORY / state.NAME
                hint = "`pdp audit repair` makes it anew"
                raise Failure(f"this cannot be put on record, so it is not done: {lost} is missing", hint)
            print(f"pdp: {where} is a copy of a log: what is read in it is on no record", file=sys.stderr)
            return ""
        return tell(where, known.origin, kind, said, detail=detail, veil=new_veil(where) if detail else None)
    except EvidenceError as error:
        hint = "the log is read by whoever may also write to it, as the service does: run this as its user"
        raise Failure(f"this cannot be put on record, so it is not done: {error}", hint) from error


def told(where: Path, kind: str, said: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    """The same, for what is nothing unless it is on record. Raises Failure also in a copy."""
    identifier = recorded(where, kind, said, detail)
    if not identifier:
        raise Failure("this is a copy of a log: nothing is put on record in it")
    return identifier
