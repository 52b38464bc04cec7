"""Records in a real rsyslog, over TCP and over TLS: each once, as it is in the log."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pdp.audit.ship.destination import Destination, Syslog, Trust
from pdp.audit.ship.targets import lane
from pdp.audit.tree import tiles
from tests.service.certificates import Authority
from tests.service.server import free_port, until
from tests.service.shipping import program
from tests.unit.audit.hosts import ORIGIN
from tests.unit.audit.ship.takers import MICRO, Host

pytestmark = pytest.mark.service
PLAIN = 'module(load="imtcp")\n'
TLS = """\
global(DefaultNetstreamDriverCAFile="{ca}" DefaultNetstreamDriverCertFile="{certificate}"
       DefaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
"""
CONFIG = """\
global(workDirectory="{directory}" maxMessageSize="128k")
{module}
input(type="imtcp" address="127.0.0.1" port="{port}" SupportOctetCountedFraming="on")
template(name="whole" type="string" string="%STRUCTURED-DATA% %APP-NAME% %PRI% %msg%\\n")
action(type="omfile" file="{out}" template="whole")
"""


@contextmanager
def rsyslog(directory: Path, module: str) -> Iterator[tuple[int, Path]]:
    directory.mkdir()
    port, out, config = free_port(), directory / "out", directory / "rsyslog.conf"
    config.write_text(CONFIG.format(directory=directory, module=module, port=port, out=out))
    command = [program("rsyslogd"), "-n", "-f", str(config), "-i", str(directory / "pid")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, "rsyslog")
        yield port, out
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_each_record_is_a_message_of_its_own(tmp_path: Path, scheme: str) -> None:
    authority = Authority(tmp_path / "ca")
    ours = authority.server()
    paths = {"ca": authority.certificate_file, "certificate": ours.certificate_file, "key": ours.key_file}
    host = Host(tmp_path / "audit")
    size = host.grow(1_500)
    with rsyslog(tmp_path / "rsyslog", PLAIN if scheme == "tcp" else TLS.format(**paths)) as (port, out):
        where = Syslog(f"{scheme}://localhost:{port}", trust=Trust(authority.certificate_file))
        way = lane(host.directory, ORIGIN, Destination("there", where))
        way.step(MICRO)
        assert (way.told.problem, way.told.next) == ("", size)
        way.close()
        until(lambda: out.read_bytes().count(b"\n") == size, "written")
    lines = out.read_bytes().splitlines()
    bodies = [each.partition(b" chaperone 110 ")[2].strip() for each in lines]
    assert bodies == [each for _, each in tiles.records(host.directory / "log", size)]
    first = json.loads(bodies[0])
    assert lines[0].startswith(f'[record@32473 stream="{first["stream"]}" seq="1"]'.encode())
