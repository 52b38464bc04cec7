"""Before the start: what stands in its way, what is weaker than it could be, and where things are kept.

Nothing here binds a port or makes a file, so that `pdp serve --check-settings` can say it beside a service that runs.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from pdp.audit.journal.space import unsound
from pdp.config import Settings
from pdp.serve import port, shipping, tls, veiling

OTHERS: Final = 0o077
_GENERATED: Final = re.compile(r"([0-9a-f]{12}|.+-[0-9a-f]{8,10}-[0-9a-z]{5}|[0-9a-f]{32,})/pdp").fullmatch
"""A host as Docker and as Kubernetes name it."""


def obstacles(settings: Settings) -> list[str]:
    """What no start gets past, but for a port that is in use, and directories, which a start makes."""
    found = tls.problems(settings)
    if settings.metadata_key_file is not None:
        from pdp.serve import metadata

        found += metadata.problems(settings)
    found += shipping.problems(settings)
    if not settings.policies.is_dir():
        found.append(f"policies: {settings.policies} is not a directory")
    return found


def unmade(settings: Settings) -> list[str]:
    """The directories that a start could not make, or write to. Makes none."""
    found = [
        f"{name}: {problem}"
        for name, directory in (("audit_dir", settings.audit_dir), ("state_dir", settings.state_dir))
        if (problem := _unwritable(directory))
    ]
    if not found and settings.state_dir.is_dir():
        found += _state(settings.state_dir)
    return found + veiling.unfit(settings)


def _unwritable(directory: Path) -> str:
    """Why not; "" where it can be written, or made."""
    at = directory.absolute()
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir():
        return f"{directory} cannot be made: {at} is not a directory"
    if not os.access(at, os.W_OK | os.X_OK):
        return f"{directory} cannot be {'written' if at == directory.absolute() else f'made: {at} cannot be written'}"
    return ""


def _state(directory: Path) -> list[str]:
    from pdp.identity.store import FILE, StoreError, prepare

    if not (directory / FILE).exists():
        return []  # A start makes it.
    try:
        prepare(directory)
    except StoreError as error:
        return [f"state_dir: {error}"]
    return []


def weaknesses(settings: Settings) -> list[str]:
    """What an operator has to know and may want. Each is a warning at start."""
    found = list(_in_clear(settings))
    for path in settings.secret_files:
        if _of_others(path):
            found.append(f"{path} holds a secret and may be read or written by others (chmod 600)")
    if "grpc_listen" in settings.given and settings.grpc_listen.port and not port.wanted(settings):
        found.append(f"grpc_listen: nothing listens on {settings.grpc_listen}, since no profile has the door `grpc`")
    found += [
        f"[ship.{each.name}]: records may leave this machine in clear (trust_plain_text_network)"
        for each in settings.shipping
        if each.trust_plain_text_network
    ]
    return found


def ground(settings: Settings) -> list[str]:
    """What is weak about where the log is, and what it is called."""
    directories = {"audit_dir": settings.audit_dir, "[emergency] audit_dir": settings.emergency.audit_dir}
    found = [
        f"{name}: {directory} {weak}"
        for name, directory in directories.items()
        if directory is not None and (weak := unsound(directory))
    ]
    if "audit_origin" not in settings.given and _GENERATED(settings.audit_origin):
        found.append(
            f"audit_origin: {settings.audit_origin} looks like the name of a container, which changes with each start:"
            " every start would be another log (PDP_AUDIT_ORIGIN)"
        )
    return found


def _in_clear(settings: Settings) -> list[str]:
    if settings.tls_certificate_file is not None:
        return []
    listeners = {"http_listen": settings.http_listen}
    if port.wanted(settings):
        listeners["grpc_listen"] = settings.grpc_listen
    return [
        f"{name}: {where} is not loopback, and there is no TLS: secrets, tokens and answers travel in clear"
        " (tls_certificate_file)"
        for name, where in listeners.items()
        if not where.loopback
    ]


def _of_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(os.stat(path).st_mode) & OTHERS)
    except OSError:
        return False  # Whoever reads it says so.


def places(settings: Settings) -> str:
    """Where what is kept is kept. A default that is relative starts at the working directory, which surprises."""
    kept = f"records in {settings.audit_dir.absolute()}, sessions and revocations in {settings.state_dir.absolute()}"
    left = [name for name in ("audit_dir", "state_dir") if name not in settings.given]
    return f"{kept} ({' and '.join(left)} not set: below the working directory)" if left else kept
