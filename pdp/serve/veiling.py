"""What the settings say about what records hide."""

from __future__ import annotations

from pathlib import Path

from pdp.audit.evidence import EvidenceError
from pdp.audit.veil.privacy import DIRECTORY, Veil, in_clear, read
from pdp.audit.veil.vault import Vault
from pdp.config import Settings


def veil(settings: Settings, emergency: Path | None = None) -> Veil | None:
    """What a process writes with; it has no keys before it looks. None: nothing is hidden. `emergency`: of the log on
    the second disk, which is written with the same keys, also while they cannot be read.
    """
    if settings.audit_details == "clear":
        return None
    return Veil(
        emergency or settings.audit_dir,
        settings.audit_privacy_dir or settings.audit_dir / DIRECTORY,
        settings.audit_master_key_file,
        steadfast=emergency is not None,
        subjects=settings.audit_subjects == "pseudonym",
        patient_type=settings.smart.patient_type,
        hidden=settings.audit_patient_subject_types,
    )


def unfit(settings: Settings) -> list[str]:
    """Why the keys that the log names could not be used. Makes none."""
    if settings.audit_details == "clear":
        return []
    try:
        mark = read(settings.audit_dir)
        if mark is not None:
            keys = Vault(settings.audit_privacy_dir or settings.audit_dir / DIRECTORY, settings.audit_master_key_file)
            if keys.check() != mark.id:
                raise EvidenceError(f"the keys in {keys.directory} are not those of the log")
    except EvidenceError as error:
        return [f"audit_privacy_dir: {error}"]
    return []


def problems(settings: Settings) -> list[str]:
    """Make the keys at a first start; what stands in the way of writing with them."""
    try:
        made = veil(settings)
        if made is None:
            in_clear(settings.audit_dir)
        else:
            made.make()
    except EvidenceError as error:
        return [f"audit_privacy_dir: {error}"]
    return []
