"""Sealed files in S3 with object lock. The server is moto's, which keeps versions, locks, conditions and checksums;
or the one that `PDP_TEST_S3` names (`http://HOST:PORT`), with the credentials below.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pdp.audit.ship import cursor
from pdp.audit.ship.destination import S3
from pdp.audit.ship.s3 import Absent, Bucket, client
from pdp.audit.ship.target import Contradicted, Item, ShipError
from pdp.audit.tree import checkpoint
from tests.service.server import free_port, until
from tests.service.shipping import Shipper, running
from tests.unit.audit.ship.takers import Host

pytestmark = pytest.mark.service
SECRET = "a-secret-key-of-forty-characters-as-usual"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if os.environ.get("PDP_TEST_S3"):
        yield os.environ["PDP_TEST_S3"]
        return
    port, log = free_port(), tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, "S3")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def where(endpoint: str) -> S3:
    """A bucket of its own, with object lock."""
    name = f"audit-{uuid4().hex}"
    made = S3(name, "host-1/", endpoint, access_key="key-of-a-test", secret=SECRET.encode(), retain_days=30)
    client(made, 10).create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "audit")


@pytest.fixture
def shipper(tmp_path: Path, host: Host, where: S3) -> Shipper:
    made = Shipper(
        tmp_path / "ship",
        host.directory,
        f'[ship.worm]\nkind = "s3"\nbucket = "{where.bucket}"\nprefix = "host-1"\nendpoint = "{where.endpoint}"\n'
        'access_key = "key-of-a-test"\nsecret_key_file = "secret"\nretain_days = 30\n',
    )
    (made.config.parent / "secret").write_text(SECRET)
    return made


def objects(where: S3) -> dict[str, bytes]:
    s3 = client(where, 10)
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=where.bucket):
        for each in page.get("Contents", []):
            key = each["Key"].removeprefix(where.prefix)
            found[key] = s3.get_object(Bucket=where.bucket, Key=each["Key"])["Body"].read()
    return found


def confirmed(host: Host) -> int:
    found = cursor.read(host.directory, "worm")
    return 0 if found is None else found.next


def check(shipper: Shipper, *more: str) -> list[tuple[str, str]]:
    done = shipper.command("check", "worm", "--output", "json", *more)
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == (1 if findings else 0), done.stderr
    return [(each["finding"], each["key"]) for each in findings]


def shipped(host: Host, shipper: Shipper, *sizes: int) -> None:
    for each in sizes:
        size = host.grow(each)
    with running(shipper):
        until(lambda: confirmed(host) == size, "shipped")


def test_what_is_full_is_there_once_locked_and_as_it_was_sealed(host: Host, shipper: Shipper, where: S3) -> None:
    shipped(host, shipper, 100, 300, 200)
    found = objects(where)
    assert sorted(each for each in found if each.startswith("tile")) == [
        "tile/0/000",
        "tile/0/001",
        "tile/entries/000",
        "tile/entries/001",
    ]
    assert [each for each in found if each.startswith("check")] == [
        checkpoint.place(each) for each in (0, 100, 400, 600)
    ]
    assert all((host.directory / "log" / key).read_bytes() == body for key, body in found.items())
    head = client(where, 10).head_object(Bucket=where.bucket, Key="host-1/tile/0/000")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert check(shipper) == check(shipper, "--full") == []


def test_kills_in_the_middle_leave_nothing_out_and_nothing_twice(host: Host, shipper: Shipper, where: S3) -> None:
    with running(shipper):
        for _ in range(5):
            size = host.grow(1_500)
            time.sleep(0.4)  # Somewhere in the middle.
            shipper.stop(signal.SIGKILL)
            shipper.start()
        until(lambda: confirmed(host) == size, "shipped")
    assert check(shipper, "--full") == []
    versions = client(where, 10).list_object_versions(Bucket=where.bucket)["Versions"]
    assert len(versions) == len({each["Key"] for each in versions})


def test_other_content_under_a_name_is_an_alarm_and_stays(where: S3) -> None:
    client(where, 10).put_object(Bucket=where.bucket, Key="host-1/tile/0/000", Body=b"theirs")
    bucket = Bucket(where, 5)
    with pytest.raises(Contradicted, match="other content; it was not written over"):
        bucket.put([Item("tile/0/000", b"ours")])
    bucket.close()
    assert objects(where) == {"tile/0/000": b"theirs"}


def test_the_same_again_is_fine(where: S3) -> None:
    bucket = Bucket(where, 5)
    for _ in range(3):
        bucket.put([Item("tile/0/000", b"ours")])
    bucket.close()
    assert len(client(where, 10).list_object_versions(Bucket=where.bucket)["Versions"]) == 1


def test_a_bucket_that_locks_nothing_is_an_alarm(endpoint: str) -> None:
    made = S3(f"bare-{uuid4().hex}", "", endpoint, access_key="key-of-a-test", secret=SECRET.encode(), retain_days=30)
    client(made, 10).create_bucket(Bucket=made.bucket)
    bucket = Bucket(made, 5)
    with pytest.raises(ShipError):
        bucket.put([Item("tile/0/000", b"ours")])
    bucket.close()


def test_deleting_overwriting_adding_and_setting_back_are_found(host: Host, shipper: Shipper, where: S3) -> None:
    shipped(host, shipper, 600)
    s3 = client(where, 10)
    s3.delete_object(Bucket=where.bucket, Key="host-1/tile/0/000")
    s3.put_object(Bucket=where.bucket, Key="host-1/tile/entries/001", Body=b"theirs")
    beyond = checkpoint.place(9_999)
    s3.put_object(Bucket=where.bucket, Key=f"host-1/{beyond}", Body=b"x")
    assert set(check(shipper)) == {
        ("deleted", "tile/0/000"),
        ("written-over", "tile/entries/001"),
        ("other-content", "tile/entries/001"),
        ("not-locked", "tile/entries/001"),  # What was put over it.
        ("not-in-the-log", beyond),
    }


def test_what_was_locked_cannot_be_deleted(host: Host, shipper: Shipper, where: S3) -> None:
    shipped(host, shipper, 300)
    s3 = client(where, 10)
    for each in s3.list_object_versions(Bucket=where.bucket)["Versions"]:
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=where.bucket, Key=each["Key"], VersionId=each["VersionId"])
    assert check(shipper, "--full") == []


class Liar:
    """A client that answers as told."""

    def __init__(self, put: Any, head: Any) -> None:
        self._put, self._head = put, head

    def put_object(self, **_: Any) -> Any:
        return self._put

    def head_object(self, **asked: Any) -> Any:
        if "ChecksumMode" not in asked:  # Is the name taken?
            raise Absent("there is none")
        return self._head

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("put", "head"),
    [
        ({"ChecksumSHA256": "AAAA"}, {}),
        ({}, {}),
        ({}, {"ContentLength": 3}),
        ({}, {"ContentLength": 4}),
        ({}, {"ContentLength": 4, "ChecksumSHA256": "AAAA"}),
        ({}, {"ContentLength": 4, "ObjectLockMode": "COMPLIANCE"}),
        ({}, {"ContentLength": 4, "ObjectLockMode": "GOVERNANCE"}),
    ],
)
def test_a_store_that_says_200_and_keeps_something_else_is_not_believed(where: S3, put: Any, head: Any) -> None:
    bucket = Bucket(where, 5)
    bucket.client = Liar(put, head)
    with pytest.raises(ShipError):
        bucket.put([Item("tile/0/000", b"ours")])
    bucket.close()


def test_neither_secret_nor_record_is_in_what_is_said(host: Host, shipper: Shipper, where: S3) -> None:
    host.grow(300)
    client(where, 10).put_object(Bucket=where.bucket, Key="host-1/tile/0/000", Body=b"theirs")
    with running(shipper):
        until(lambda: b"ALARM" in shipper.log.read_bytes(), "said")
        until(lambda: (shipper.config.parent / "runtime/ship-worm").exists(), "told")
        status = (shipper.config.parent / "runtime/ship-worm").read_bytes()
    said = shipper.log.read_bytes() + status + shipper.command("status").stdout.encode()
    assert SECRET.encode() not in said
    assert b"d-0-1" not in said  # The id of a record.


def test_a_store_that_is_none_is_said_in_words_of_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        bucket = Bucket(S3("b", "", f"http://127.0.0.1:{port}", access_key="key", secret=SECRET.encode(), lock=""), 1)
        with pytest.raises(ShipError, match="does not answer as one") as caught:
            bucket.put([Item("tile/0/000", b"ours")])
        assert SECRET not in f"{caught.value!r}{bucket.where!r}"
        bucket.close()
