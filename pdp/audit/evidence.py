"""What is raised where a record cannot be kept, or is not what was written."""

from __future__ import annotations


class EvidenceError(Exception):
    """The record could not be written whole, or what was written was changed: the answer must be a deny."""
