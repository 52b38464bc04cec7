"""Records in a real Kafka (KRaft, one broker): complete, keyed and in order, also when the broker is killed.

Its jars are those of tests/service/kafka/pom.xml; without them, or without Java, this is skipped.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from pdp.audit.ship.destination import Destination, Kafka
from pdp.audit.ship.kafka import Topic
from pdp.audit.ship.target import Item, ShipError
from pdp.audit.ship.targets import lane
from pdp.audit.tree import tiles
from tests.service.server import free_port, until
from tests.service.shipping import program
from tests.unit.audit.hosts import ORIGIN
from tests.unit.audit.ship.takers import MICRO, Host

pytestmark = pytest.mark.service
JARS = Path(__file__).parent / "kafka/libs"
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.flush.interval.messages=1
"""


class Broker:
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._java = program("java")
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        text = PROPERTIES.format(port=self.port, controller=free_port(), directory=directory)
        (directory / "server.properties").write_text(text)
        self._run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", "server.properties").wait(
            60
        )

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [self._java, "-Xmx256m", "-cp", f"{JARS}/*", *arguments], cwd=self._directory, stdout=log, stderr=log
            )

    def start(self) -> Broker:
        self._process = self._run("kafka.Kafka", "server.properties")
        until(self._answers, "Kafka", 60)
        return self

    def _answers(self) -> bool:
        try:
            found = AdminClient(self.settings()).list_topics(timeout=1)
        except KafkaException:
            return False
        return bool(found.brokers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def settings(self) -> dict[str, object]:
        return {"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}

    def make(self, topic: str) -> None:
        admin = AdminClient(self.settings())
        for made in admin.create_topics([NewTopic(topic, 4, 1)]).values():
            made.result(30)

    def held(self, topic: str, number: int) -> list[tuple[str, bytes, int]]:
        """Key, content and partition of what is there, until so many different keys have come."""
        reader = Consumer(self.settings() | {"group.id": f"g{random.random()}", "auto.offset.reset": "earliest"})
        reader.subscribe([topic])
        found: list[tuple[str, bytes, int]] = []
        keys: set[str] = set()

        def more() -> bool:
            for each in reader.consume(500, 0.5):
                if each.error() is None:
                    keys.add((each.key() or b"").decode())
                    found.append(((each.key() or b"").decode(), each.value() or b"", each.partition() or 0))
            return len(keys) >= number

        until(more, "consumed", 60)
        reader.close()
        return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not JARS.is_dir():
        if os.environ.get("PDP_TEST_REQUIRE_ALL") == "1":
            pytest.fail("Kafka's jars are missing (scripts/setup.sh)")
        pytest.skip("Kafka's jars are missing")
    made = Broker(tmp_path_factory.mktemp("broker") / "kafka")
    try:
        yield made.start()
    finally:
        made.kill()


def where(broker: Broker, topic: str) -> Kafka:
    return Kafka((f"127.0.0.1:{broker.port}",), topic, tls=False)


def test_nothing_is_missing_and_each_stream_is_in_order_also_after_kills(broker: Broker, tmp_path: Path) -> None:
    broker.make("audit")
    host = Host(tmp_path / "audit")
    ours = lane(host.directory, ORIGIN, Destination("there", where(broker, "audit"), timeout_seconds=5))
    for turn in range(3):
        size = host.grow(2_000)
        if turn == 1:
            broker.kill()
            ours.step(MICRO)
            assert ours.told.problem
            assert ours.told.next == 2_000
            broker.start()
        until(lambda: ours.step(MICRO) == 1.0 and ours.told.next == size, "shipped", 60)  # noqa: B023
    ours.close()
    found = broker.held("audit", size)
    by_key = {key: body for key, body, _ in found}
    assert set(by_key.values()) == {each for _, each in tiles.records(host.directory / "log", size)}
    assert len(by_key) == size
    for stream in {key.rpartition(":")[0] for key in by_key}:
        mine = [(key, partition) for key, _, partition in found if key.startswith(f"{stream}:")]
        assert len({partition for _, partition in mine}) == 1
        first = list(dict.fromkeys(int(key.rpartition(":")[2]) for key, _ in mine))
        assert first == sorted(first)


def test_a_topic_or_a_broker_that_is_not_there_confirms_nothing(broker: Broker) -> None:
    items = [Item("a:1", b"{}", stream="a", seq=1)]
    topic = Topic(where(broker, "nowhere"), 3)
    with pytest.raises(ShipError, match="there is no topic"):
        topic.put(items)
    topic.close()
    secret = b"a-secret-of-twenty-five-ch"
    topic = Topic(Kafka(("127.0.0.1:1",), tls=False, user="u", secret=secret), 2)
    with pytest.raises(ShipError, match="Kafka does not take it") as caught:
        topic.put(items)
    assert secret.decode() not in f"{caught.value!r}{topic._where!r}"
    topic.close()
    topic.close()
