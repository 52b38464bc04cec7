"""TLS at the gRPC door: who has no certificate of ours is not heard, and what is in use changes without a restart."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.service.asker import asker
from tests.service.certificates import Authority, Leaf
from tests.service.server import Server, until, write_policies

pytestmark = pytest.mark.service

ENVOY = "spiffe://hospital.example/envoy"
SETTINGS = """\
trust_unverified_subject_header = "x-user"

[pep.envoy]
door = "grpc"
certificate = ["spiffe://hospital.example/envoy"]
may_assert = []
"""


class Secured(Server):
    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "ca")
        self.proxy = self.authority.leaf(uris=[ENVOY])
        self.files = directory / "tls"
        self.files.mkdir()
        self.install(self.authority.server())
        self.trust(self.authority)
        super().__init__(
            directory,
            write_policies(directory / "policies", SETTINGS),
            PDP_TLS_CERTIFICATE_FILE=str(self.files / "cert.pem"),
            PDP_TLS_KEY_FILE=str(self.files / "key.pem"),
            PDP_TLS_CLIENT_CA_FILE=str(self.files / "clients.pem"),
        )

    def install(self, leaf: Leaf) -> None:
        for source, name in ((leaf.certificate_file, "cert.pem"), (leaf.key_file, "key.pem")):
            (self.files / "new").write_bytes(source.read_bytes())
            (self.files / "new").chmod(0o600)
            (self.files / "new").replace(self.files / name)

    def trust(self, *authorities: Authority) -> None:
        (self.files / "new").write_bytes(b"".join(each.certificate_file.read_bytes() for each in authorities))
        (self.files / "new").replace(self.files / "clients.pem")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended: {self.log.read_text()}"
        return self.allows(self.proxy)

    def allows(self, leaf: Leaf | None) -> bool:
        """Over a connection of its own. False: denied, or not let in."""
        try:
            with asker(self.grpc, self.authority, leaf) as envoy:
                return envoy.allowed()
        except grpc.RpcError:
            return False

    def lets_in(self, leaf: Leaf | None) -> bool:
        """To ask at all."""
        try:
            with asker(self.grpc, self.authority, leaf) as envoy:
                envoy.ask()
                return True
        except grpc.RpcError:
            return False

    def context(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        made.load_cert_chain(self.proxy.certificate_file, self.proxy.key_file)
        made.set_alpn_protocols(["h2"])
        return made

    def handshake(self, context: ssl.SSLContext) -> tuple[str, bytes]:
        """The version, and the certificate that is served with. Raises OSError."""
        with (
            socket.create_connection(("127.0.0.1", self.grpc), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return secured.version() or "", secured.getpeercert(True) or b""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    server = Secured(tmp_path_factory.mktemp("grpc-tls"))
    try:
        yield server.start()  # type: ignore[misc]
    finally:
        server.stop()


def test_checklist_29_only_a_certificate_of_ours_is_heard(server: Secured, tmp_path: Path) -> None:
    assert server.allows(server.proxy)
    assert not server.lets_in(None)
    assert not server.lets_in(Authority(tmp_path).leaf(uris=[ENVOY]))
    assert not server.lets_in(server.authority.leaf(uris=[ENVOY], days=-2))


def test_plaintext_is_not_heard(server: Secured) -> None:
    with asker(server.grpc) as envoy, pytest.raises(grpc.RpcError) as error:
        envoy.raw(b"", seconds=2)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "names",
    [
        {"dns": [ENVOY]},
        {"cn": ENVOY},
        {"uris": ["spiffe://hospital.example/envoy2"]},
        {"uris": ["spiffe://hospital.example.evil/envoy"]},
        {"uris": [ENVOY, "spiffe://hospital.example/other"]},
        {"uris": ["spiffe://hospital.example/other"], "dns": [ENVOY]},
        {},
    ],
)
def test_checklist_19_a_certificate_that_lies_is_heard_and_denied(server: Secured, names: dict[str, list[str]]) -> None:
    liar = server.authority.leaf(**names)  # type: ignore[arg-type]
    assert server.lets_in(liar)
    assert not server.allows(liar)
    assert server.records()[-1]["detail"] == "unknown-certificate"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_is_1_2_at_least_and_1_3_where_it_can_be(server: Secured) -> None:
    assert server.handshake(server.context())[0] == "TLSv1.3"
    older = server.context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert server.handshake(older)[0] == "TLSv1.2"
    oldest = server.context()
    oldest.minimum_version = ssl.TLSVersion.TLSv1
    oldest.maximum_version = ssl.TLSVersion.TLSv1_1
    oldest.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError, match=r"alert|version|reset|EOF|unsupported"):
        server.handshake(oldest)


def test_a_new_certificate_is_served_without_a_restart(server: Secured) -> None:
    with asker(server.grpc, server.authority, server.proxy) as open_before:
        assert open_before.allowed()
        renewed = server.authority.server()
        server.install(renewed)
        until(lambda: server.handshake(server.context())[1] == renewed.der, "the new certificate")
        assert open_before.allowed(), "a connection stays"
    assert server.allows(server.proxy)


def test_a_pair_that_does_not_fit_changes_nothing(server: Secured) -> None:
    _, before = server.handshake(server.context())
    (server.files / "key.pem").write_bytes(server.authority.server().key_file.read_bytes())
    until(lambda: "ALARM" in server.log.read_text(), "said")
    assert server.handshake(server.context())[1] == before
    server.install(server.authority.server())
    until(lambda: server.handshake(server.context())[1] != before, "mended")


def test_other_authorities_end_what_the_old_ones_let_in(server: Secured, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    newcomer = other.leaf(uris=[ENVOY])
    with asker(server.grpc, server.authority, server.proxy) as open_before:
        assert open_before.allowed()
        server.trust(other)
        until(lambda: server.allows(newcomer), "the new authority")

        def ended() -> bool:
            try:
                open_before.ask()
            except grpc.RpcError:
                return True
            return False

        until(ended, "the connection of the old one ends")
    assert not server.lets_in(server.proxy)
    server.trust(server.authority)
    until(lambda: server.allows(server.proxy), "back")
    assert not server.lets_in(newcomer)
