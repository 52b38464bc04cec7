from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdp.audit.journal.space import Space, kind_of, space, unsound

MOUNTS = """\
21 1 0:1 / / rw,relatime shared:1 - overlay overlay rw
22 21 0:2 / /proc rw - proc proc rw
30 21 8:1 / /var/lib rw - ext4 /dev/sda1 rw
31 30 0:9 / /var/lib/pool rw shared:3 master:1 - zfs pool/data rw
32 30 0:8 / /var/lib/with\\040space rw - btrfs /dev/sdb rw
33 21 0:7 / /mnt/share rw - nfs4 host:/share rw
34 21 0:6 / /mnt/s3 rw - fuse.s3fs s3fs rw
35 21 0:5 / /dev/shm rw - tmpfs tmpfs rw
36 21 0:4 / /mnt/twice rw - nfs4 host:/share rw
37 21 0:3 / /mnt/twice rw - xfs /dev/sdc rw
broken line
"""


@pytest.mark.parametrize(
    ("directory", "kind", "sound"),
    [
        ("/var/lib/pdp/audit", "ext4", True),
        ("/var/library", "overlay", False),
        ("/var/lib/pool/audit", "zfs", False),
        ("/var/lib/with space/audit", "btrfs", False),
        ("/mnt/share/audit", "nfs4", False),
        ("/mnt/s3/audit", "fuse.s3fs", False),
        ("/dev/shm/audit", "tmpfs", False),
        ("/mnt/twice/audit", "xfs", True),
    ],
)
def test_a_file_system_that_does_not_keep_its_promise_is_said(directory: str, kind: str, sound: bool) -> None:
    assert kind_of(Path(directory), MOUNTS) == kind
    assert (unsound(Path(directory), MOUNTS) == "") is sound


def test_what_the_kernel_does_not_tell_is_no_weakness() -> None:
    assert unsound(Path("/audit"), "") == ""


def test_the_file_system_of_this_host_has_a_type(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "not/there/yet") != ""


def test_how_much_is_free(tmp_path: Path) -> None:
    found = SimpleNamespace(f_bavail=25, f_blocks=1_000, f_frsize=4_096, f_bfree=90, f_bsize=1)
    assert space(tmp_path, lambda _: found) == Space(102_400, 4_096_000)  # type: ignore[arg-type, return-value]
    assert Space(102_400, 4_096_000).percent == 2.5
    assert Space(0, 0).percent == 0.0
    real = space(tmp_path)
    assert real is not None
    assert 0 < real.free < real.total


def test_a_directory_that_is_not_there_has_no_space(tmp_path: Path) -> None:
    assert space(tmp_path / "gone") is None
    assert os.path.isdir(tmp_path)
