"""S3-compatible storage with object lock: each file once, under its own name, never written over.

Each name is asked for before it is put, and the put says `If-None-Match: *` (some stores do not heed that, and make
another version) and the SHA-256 of its content. Where a name is taken, what is there must be the same. Of each batch
the last object is looked at afterwards: a store that answers 200 and keeps nothing, or keeps it without the lock, is
not believed.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pdp.audit.ship.destination import S3
from pdp.audit.ship.target import Contradicted, Item, ShipError, same
from pdp.audit.tree import checkpoint

AT_ONCE: Final = 8
MOST_SIGNATURES: Final = 65_536
SLACK: Final = timedelta(days=1)


class Bucket:
    """One bucket, or what lies below one prefix of it."""

    def __init__(self, where: S3, timeout_seconds: int) -> None:
        self.where = where
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3")
        try:
            self.client = client(where, timeout_seconds)
        except (BotoCoreError, ValueError) as error:
            raise ShipError(f"the S3 client cannot be made: {type(error).__name__}") from error

    def put(self, batch: Sequence[Item]) -> None:
        """The records and hashes first, then the checkpoints that vouch for them."""
        late = [each for each in batch if each.kind == checkpoint.ARCHIVE]
        for part in ([each for each in batch if each.kind != checkpoint.ARCHIVE], late):
            for _ in self._pool.map(self._one, part):
                pass
        if batch:
            self._look_at(batch[-1])

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def name(self, key: str) -> str:
        return f"{self.where.prefix}{key}"

    def _one(self, item: Item) -> None:
        if self._taken(item):
            self._same(item)
            return
        digest = checksum(item.body)
        more: dict[str, Any] = {}
        if self.where.lock:
            until = datetime.now(UTC) + timedelta(days=self.where.retain_days)
            more = {"ObjectLockMode": self.where.lock, "ObjectLockRetainUntilDate": until}
        try:
            with talking():
                answer = self.client.put_object(
                    Bucket=self.where.bucket,
                    Key=self.name(item.key),
                    Body=item.body,
                    ContentType="application/octet-stream",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest,
                    IfNoneMatch="*",
                    **more,
                )
        except Taken:
            self._same(item)
            return
        if answer.get("ChecksumSHA256", digest) != digest:
            raise ShipError("the store says that it got something else than was sent")

    def _taken(self, item: Item) -> bool:
        try:
            with talking():
                self.client.head_object(Bucket=self.where.bucket, Key=self.name(item.key))
        except Absent:
            return False
        return True

    def _same(self, item: Item) -> None:
        """The name is taken: by this very content, or it is an alarm."""
        with talking():
            found = self.client.get_object(Bucket=self.where.bucket, Key=self.name(item.key))
            body = found["Body"].read(len(item.body) + MOST_SIGNATURES)
        if not same(item.key, body, item.body):
            raise Contradicted(f"{item.key} is there already with other content; it was not written over")

    def _look_at(self, item: Item) -> None:
        with talking():
            found = self.client.head_object(Bucket=self.where.bucket, Key=self.name(item.key), ChecksumMode="ENABLED")
        if found.get("ContentLength") != len(item.body):
            raise ShipError(f"{item.key} was put, and is not there as it was sent")
        if found.get("ChecksumSHA256", checksum(item.body)) != checksum(item.body):
            raise ShipError(f"{item.key} was put, and is not there as it was sent")
        problem = unlocked(self.where, found)
        if problem:
            raise Contradicted(f"{item.key} {problem}")


def client(where: S3, timeout_seconds: int) -> Any:
    """Retries are ours, so that each failure is seen; an answer of 3xx to another host is an error to boto3."""
    return boto3.client(
        "s3",
        endpoint_url=where.endpoint or None,
        region_name=where.region,
        aws_access_key_id=where.access_key or None,
        aws_secret_access_key=where.secret.decode() or None,
        verify=True if where.ca_file is None else str(where.ca_file),
        config=Config(
            connect_timeout=timeout_seconds,
            read_timeout=timeout_seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=AT_ONCE,
            signature_version="s3v4",
            s3={"addressing_style": "path" if where.endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={},
        ),
    )


def checksum(body: bytes) -> str:
    return b64encode(sha256(body).digest()).decode()


def unlocked(where: S3, found: Any) -> str:
    """What is amiss with the lock of an object, from the answer to HEAD; "" where it is as wished for."""
    if not where.lock:
        return ""
    mode, until, written = (
        found.get("ObjectLockMode"),
        found.get("ObjectLockRetainUntilDate"),
        found.get("LastModified"),
    )
    if mode != where.lock and not (where.lock == "GOVERNANCE" and mode == "COMPLIANCE"):
        return f"is not locked as it was asked to be ({where.lock})"
    if until is None or written is None or until < written + timedelta(days=where.retain_days) - SLACK:
        return "is locked for a shorter time than was asked for"
    return ""


class Taken(ShipError):
    """There is an object of this name."""


class Absent(ShipError):
    """There is none of this name, or no such bucket."""


@contextmanager
def talking() -> Iterator[None]:
    """What boto3 raises, in words of ours. Its own may quote what was sent."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ("PreconditionFailed", "ConditionalRequestConflict") or status == 412:
            raise Taken("there is an object of this name") from None
        if status == 404:
            raise Absent(f"the store answered {code if code.isalnum() else 'an error'} (404)") from None
        word = code if code.isascii() and code.isalnum() and len(code) <= 64 else "an error"
        raise ShipError(f"the store answered {word} ({status})") from None
    except (BotoCoreError, OSError, ValueError, KeyError) as error:
        raise ShipError(f"the store does not answer as one: {type(error).__name__}") from None
