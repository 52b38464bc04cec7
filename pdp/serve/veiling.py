"""What the settings say about what records hide."""

from __future__ import annotations

from pdp.audit.evidence import EvidenceError
from pdp.audit.privacy import Veil, in_clear
from pdp.config import Settings


def veil(settings: Settings) -> Veil | None:
    """What a process writes with; it has no keys before it looks. None: nothing is hidden."""
    if settings.audit_details == "clear":
        return None
    return Veil(
        settings.audit_dir,
        settings.audit_privacy_dir,
        settings.audit_master_key_file,
        subjects=settings.audit_subjects == "pseudonym",
        patient_type=settings.smart.patient_type,
        hidden=settings.audit_patient_subject_types,
    )


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
