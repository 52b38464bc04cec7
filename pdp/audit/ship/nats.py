"""NATS JetStream: each record is a message with an id of place and content, confirmed by the ack of its publication.

An ack tells that the message is in the stream, on disk as the server is set (`sync_interval: always`), or that it was
there before. Beyond the stream's window of duplicates one may be there twice, and is known by its id.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from pdp.audit.ship.destination import Nats
from pdp.audit.ship.target import Contradicted, Item, ShipError
from pdp.audit.ship.trust import context

ID: Final = "Nats-Msg-Id"
DIGITS: Final = 32
AT_ONCE: Final = 256


class Stream:
    """One stream. Its event loop is its own, and turns only while something is put."""

    def __init__(self, where: Nats, timeout_seconds: int) -> None:
        self._where = where
        self._seconds = timeout_seconds
        self._loop = asyncio.new_event_loop()
        self._client = Client()
        self._js: JetStreamContext | None = None

    def put(self, batch: Sequence[Item]) -> None:
        self.run(self._put(batch), 30 * self._seconds)

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            self.run(self._client.close(), 1)
        except ShipError:
            pass
        finally:
            self._loop.run_until_complete(_ended(asyncio.all_tasks(self._loop)))
            self._loop.close()

    def run(self, work: Any, seconds: float) -> Any:
        """Raises ShipError, in words that quote nothing."""
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, seconds))
        except ShipError:
            raise
        except APIError as error:
            raise ShipError(f"JetStream refuses it (error {error.err_code or error.code})") from None
        except (TimeoutError, NatsError, OSError, ValueError, ssl.SSLError) as error:
            raise ShipError(f"NATS does not answer: {type(error).__name__}") from None

    async def context(self) -> JetStreamContext:
        """The stream, connected to, and as it has to be."""
        if self._js is None:
            await self._client.connect(**self._options())
            js = self._client.jetstream(timeout=self._seconds)
            await self._there(js)
            self._js = js
        return self._js

    async def _put(self, batch: Sequence[Item]) -> None:
        js, where = await self.context(), self._where
        for at in range(0, len(batch), AT_ONCE):
            acks = []
            for each in batch[at : at + AT_ONCE]:
                named = {ID: named_by(each)}
                acks.append(await js.publish_async(where.subject, each.body, stream=where.stream, headers=named))
            # In order: JetStream takes what one connection publishes one after the other.
            for ack in await asyncio.wait_for(asyncio.gather(*acks), self._seconds):
                if ack.stream != where.stream or not ack.seq:
                    raise ShipError("the ack is that of another stream")

    async def _there(self, js: JetStreamContext) -> None:
        where = self._where
        try:
            found = (await js.stream_info(where.stream)).config
        except NotFoundError:
            if not where.create:
                raise ShipError(f"there is no stream {where.stream}, and `create` is false") from None
            await js.add_stream(wanted(where))
            return
        if where.subject not in (found.subjects or []):
            raise Contradicted(f"the stream {where.stream} does not take the subject {where.subject}")
        if found.storage != StorageType.FILE or found.retention != RetentionPolicy.LIMITS or found.no_ack:
            raise Contradicted(f"the stream {where.stream} is not one that keeps: storage file, retention limits, acks")

    def _options(self) -> dict[str, Any]:
        where = self._where
        options: dict[str, Any] = {
            "servers": list(where.servers),
            "connect_timeout": self._seconds,
            "allow_reconnect": False,  # After an error everything begins anew, from the cursor.
            "max_reconnect_attempts": 1,
            "error_cb": _silent,
            "name": "chaperone",
        }
        if any(each.startswith("tls://") for each in where.servers):
            options["tls"] = context(where.trust)
        if where.credentials_file is not None:
            options["user_credentials"] = str(where.credentials_file)
        elif where.user:
            options |= {"user": where.user, "password": where.secret.decode()}
        elif where.secret:
            options["token"] = where.secret.decode()
        return options


def named_by(item: Item) -> str:
    """What JetStream knows it by: place and content. Two logs of one name, such as one that follows another that was
    moved away, have the same places; with those alone the record of the second would be dropped as one of the first.
    """
    return f"{item.key}:{sha256(item.body).hexdigest()[:DIGITS]}"


def wanted(where: Nats) -> StreamConfig:
    """The stream as we make it: on disk, kept for good, deleted by nobody, not one message dropped for a new one."""
    return StreamConfig(
        name=where.stream,
        subjects=[where.subject],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        num_replicas=where.replicas,
        duplicate_window=where.duplicate_window_seconds,
        deny_delete=True,
        deny_purge=True,
    )


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """What the client has left running."""
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _silent(_: Exception) -> None:
    """What goes wrong is raised where it is waited for."""
