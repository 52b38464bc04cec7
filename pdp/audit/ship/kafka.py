"""A Kafka topic: key `stream:seq`, one partition for each stream, acknowledged by all replicas that are in sync."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

from confluent_kafka import KafkaException, Producer

from pdp.audit.ship.destination import Kafka
from pdp.audit.ship.target import Item, ShipError

POLL_SECONDS: Final = 0.05


class Topic:
    """One topic, which has to be there."""

    def __init__(self, where: Kafka, timeout_seconds: int) -> None:
        self._where = where
        self._seconds = timeout_seconds
        self._partitions = 0
        try:
            self._producer = Producer(options(where, timeout_seconds))
        except (KafkaException, ValueError, TypeError) as error:
            raise ShipError(f"the Kafka client cannot be made: {type(error).__name__}") from None

    def put(self, batch: Sequence[Item]) -> None:
        confirmed, failed = [0], [""]

        def delivered(error: Any, _message: Any) -> None:
            if error is None:
                confirmed[0] += 1
            else:
                failed[0] = failed[0] or str(error.name())

        try:
            partitions = self._there()
            for each in batch:
                self._producer.produce(
                    self._where.topic,
                    value=each.body,
                    key=each.key.encode(),
                    partition=crc32(each.stream.encode()) % partitions,
                    timestamp=each.time // 1_000,
                    on_delivery=delivered,
                )
                self._producer.poll(0)
            deadline = time.monotonic() + 3 * self._seconds
            while confirmed[0] < len(batch) and not failed[0] and time.monotonic() < deadline:
                self._producer.poll(POLL_SECONDS)
        except KafkaException as error:
            raise ShipError(f"Kafka does not take it: {_word(error)}") from None
        except BufferError:
            raise ShipError("Kafka does not take it: the client's buffer is full") from None
        if failed[0] or confirmed[0] != len(batch):
            raise ShipError(f"Kafka did not confirm everything: {failed[0] or 'no answer in time'}")

    def close(self) -> None:
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._producer.poll(0)

    def _there(self) -> int:
        if not self._partitions:
            found = self._producer.list_topics(self._where.topic, timeout=self._seconds).topics.get(self._where.topic)
            if found is None or found.error is not None or not found.partitions:
                raise ShipError(f"there is no topic {self._where.topic}")
            self._partitions = len(found.partitions)
        return self._partitions


def options(where: Kafka, timeout_seconds: int) -> dict[str, Any]:
    """Of librdkafka. Idempotent: a retry of the client's own neither doubles nor reorders."""
    trust = where.trust
    protocol = ("SASL_" if where.user else "") + ("SSL" if where.tls else "PLAINTEXT")
    chosen: dict[str, Any] = {
        "bootstrap.servers": ",".join(where.brokers),
        "client.id": "chaperone",
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.timeout.ms": 2_000 * timeout_seconds,
        "socket.timeout.ms": 1_000 * timeout_seconds,
        "allow.auto.create.topics": False,
        "security.protocol": protocol,
        "log_level": 0,
    }
    if where.user:
        chosen |= {"sasl.mechanism": where.mechanism, "sasl.username": where.user}
        chosen["sasl.password"] = where.secret.decode()
    if trust.ca_file is not None:
        chosen["ssl.ca.location"] = str(trust.ca_file)
    if trust.certificate_file is not None and trust.key_file is not None:
        chosen |= {"ssl.certificate.location": str(trust.certificate_file), "ssl.key.location": str(trust.key_file)}
    return chosen


def _word(error: KafkaException) -> str:
    return str(error.args[0].name()) if error.args and hasattr(error.args[0], "name") else "an error"
