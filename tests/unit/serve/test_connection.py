"""What is leant on of gunicorn, and what is added to it: fails loudly where gunicorn changes one of them."""

import asyncio
import inspect
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from gunicorn import version_info
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gasgi import ASGIWorker

from pdp.config.limits import Limiting
from pdp.serve import tls
from pdp.serve.connection import Connection, DecisionWorker
from pdp.serve.http import ARRIVED, CERTIFICATE, Answer
from pdp.serve.metrics import Metrics
from tests.service.certificates import Authority, Leaf

NEW = version_info[0] >= 27
REFUSED: Answer = (403, [(b"x-pdp-decision", b"d-1")], b"refused\n")


class App:
    """An ASGI application that answers every request, and notes what it was told."""

    def __init__(self) -> None:
        self.worker = SimpleNamespace(metrics=Metrics())
        self.scopes: list[dict[str, Any]] = []
        self.refused: list[tuple[bytes, str]] = []
        self.gate: asyncio.Event | None = None  # what answers wait for

    async def __call__(self, scope: dict[str, Any], _receive: object, send: Callable[[Any], Awaitable[None]]) -> None:
        self.scopes.append(scope)
        if self.gate is not None:
            await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def each_second(self) -> None:
        """Nothing to do here."""

    def malformed(self, path: bytes, kind: str, _status: int) -> Answer:
        self.refused.append((path, kind))
        return REFUSED


class Setup:
    """A worker as gunicorn makes it, without its process, listening on loopback."""

    def __init__(self, serving: tls.Serving | None, **limits: int) -> None:
        cfg = Config()
        for name, value in {"keepalive": 120, "limit_request_line": 1_024, "limit_request_field_size": 2_048}.items():
            cfg.set(name, value)
        self.app = App()
        # `Worker.__init__` opens a temporary file for the arbiter: not here.
        self.worker = DecisionWorker.__new__(DecisionWorker)
        self.worker.__dict__ |= {
            "cfg": cfg,
            "log": Logger(cfg),
            "app": SimpleNamespace(settings=SimpleNamespace(limits=Limiting(**limits)), tls=serving),
            "asgi": self.app,
            "alive": True,
            "nr": 0,
            "max_requests": 1 << 60,
            "nr_conns": 0,
            "state": {},
        }
        self.worker._setup_event_loop()
        self.loop: asyncio.AbstractEventLoop = self.worker.loop

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        server = await self.loop.create_server(lambda: None, sock=sock, ssl=None, reuse_address=True)  # type: ignore[call-overload]
        try:
            yield int(sock.getsockname()[1])
        finally:
            server.close()

    def run(self, story: Callable[[int], Awaitable[None]]) -> None:
        async def told() -> None:
            async with self.listening() as port:
                await asyncio.wait_for(story(port), 20)
            for each in asyncio.all_tasks():
                if each is not asyncio.current_task():
                    each.cancel()

        try:
            self.loop.run_until_complete(told())
        finally:
            self.loop.close()
            asyncio.set_event_loop(None)


def request(path: str = "/", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: h", *lines, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return status, head + await reader.readexactly(length)


async def ends(reader: asyncio.StreamReader) -> bool:
    """Has the other side closed, or does it within two seconds?"""
    try:
        return await asyncio.wait_for(reader.read(), 4) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def client(authority: Authority, leaf: Leaf | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.certificate_file))
    if leaf is not None:
        made.load_cert_chain(leaf.certificate_file, leaf.key_file)
    for name, value in versions.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def served(
    directory: Path, authority: Authority, leaf: Leaf | None = None, clients: Authority | None = None
) -> tls.Files:
    """The files that a server is pointed at, by copies: so that they can be replaced."""
    directory.mkdir(exist_ok=True)
    found = tls.Files(directory / "cert.pem", directory / "key.pem", directory / "clients.pem")
    replace(found, leaf or authority.server(), clients or authority)
    return found


def replace(files: tls.Files, leaf: Leaf | None, clients: Authority | None = None) -> None:
    if leaf is not None:
        for source, target in ((leaf.certificate_file, files.certificate), (leaf.key_file, files.key)):
            whole = target.with_suffix(".new")
            whole.write_bytes(source.read_bytes())
            whole.chmod(0o600)
            whole.replace(target)
    if clients is not None and files.client_ca is not None:
        files.client_ca.write_bytes(clients.certificate_file.read_bytes())


# ------------------------------------------------------------------------------------------------- what is leant on


def test_gunicorn_has_what_is_leant_on() -> None:
    for name in (
        "connection_made", "connection_lost", "data_received", "_on_headers_complete", "_keepalive_timeout",
        "_build_http_scope", "_arm_keepalive_timer",
        "_is_websocket_upgrade",
        "_handle_websocket", "_send_error_response", "_safe_write",
    ):  # fmt: skip
        assert callable(getattr(ASGIProtocol, name)), name
    made = vars(ASGIProtocol(SimpleNamespace(cfg=Config(), log=Logger(Config()), asgi=None)))
    used = (
        "transport",
        "worker",
        "app",
        "cfg",
        "_closed",
        "_conn_lost_handled",
        "_current_request",
        "_callback_parser",
        "_body_receiver",
    )
    assert "_complete" in BodyReceiver.__slots__
    assert not [name for name in used if name not in made]
    assert "_keepalive" in made or not NEW
    assert callable(ASGIWorker._setup_event_loop)
    assert "self.murder_workers()" in inspect.getsource(Arbiter.run)
    assert "self.loop.create_server(" in inspect.getsource(ASGIWorker._serve)
    assert "_send_error_response" in inspect.getsource(ASGIProtocol._feed_callback_parser)


def test_the_event_loop_is_the_fast_one() -> None:
    setup = Setup(None)
    assert isinstance(setup.loop, uvloop.Loop)
    setup.loop.close()


# ----------------------------------------------------------------------------------------------------------- requests


def test_requests_one_after_the_other_pipelined_and_in_pieces_are_answered() -> None:
    setup = Setup(None)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(request())
            assert (await answer(reader))[0] == 200
        if NEW:  # gunicorn 26 forgets what comes behind a request before its answer.
            writer.write(request() + request())
            assert [(await answer(reader))[0], (await answer(reader))[0]] == [200, 200]
        for byte in request():
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await answer(reader))[0] == 200
        writer.close()

    setup.run(story)
    assert len(setup.app.scopes) == (6 if NEW else 4)
    assert all(CERTIFICATE not in each for each in setup.app.scopes)
    assert not setup.worker.silent


@pytest.mark.parametrize("announced", ["content-length: 4", "transfer-encoding: chunked"])
def test_checklist_31_only_a_body_that_has_come_whole_is_read_without_a_clock(announced: str) -> None:
    setup = Setup(None)
    body = b"4\r\nbody\r\n0\r\n\r\n" if "chunked" in announced else b"body"

    async def story(port: int) -> None:
        for sent in (request("/", announced) + body, request("/", announced), request("/", announced) + body[:-1]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            assert (await answer(reader))[0] == 200
            writer.close()

    setup.run(story)
    assert [ARRIVED in each for each in setup.app.scopes] == [True, False, False]


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"GARBAGE\r\n\r\n", b""),
        (b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\n\r\n", b""),
        (request("/ext_authz/x", "a: " + "b" * 3_000), b"/ext_authz/x"),
        (request("/ext_authz/x", *(f"h{n}: v" for n in range(200))), b"/ext_authz/x"),
        # gunicorn 26 reads no body then, and takes the request for one without.
        *([(request("/ext_authz/x", "transfer-encoding: gzip"), b"/ext_authz/x")] if NEW else []),
        (request("/ext_authz/x", "content-length: 1", "content-length: 2"), b"/ext_authz/x"),
        (request("/ext_authz/x", "host: other"), b"/ext_authz/x"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""),
    ],
)
def test_checklist_05_31_what_the_parser_refuses_is_our_refusal(sent: bytes, path: bytes) -> None:
    """Never gunicorn's 400, 414, 431 or 501, and nothing of the request in the answer."""
    setup = Setup(None)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        status, text = await answer(reader)
        assert (status, text[-8:]) == (403, b"refused\n")
        assert b"x-pdp-decision: d-1" in text
        assert await ends(reader)
        writer.close()

    setup.run(story)
    assert len(setup.app.refused) == 1
    assert not path or setup.app.refused[0][0] == path


def test_checklist_33_a_stream_is_refused_before_it_opens() -> None:
    setup = Setup(None)
    wish = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: none")

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/ext_authz/live", *wish))
        assert (await answer(reader))[0] == 403
        assert await ends(reader)
        writer.close()

    setup.run(story)
    assert setup.app.refused == [(b"/ext_authz/live", "websocket")]
    assert setup.app.scopes == []


# ---------------------------------------------------------------------------------------------------------- slow ones


@pytest.mark.parametrize("before", [0, 1])
def test_checklist_31_a_head_that_trickles_is_cut_off(before: int) -> None:
    setup = Setup(None, head_seconds=1)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(before):
            writer.write(request())
            await answer(reader)
        began = setup.loop.time()
        writer.write(b"GET / HTTP/1.1\r\n")
        for _ in range(8):  # Each byte in time; the head never whole.
            writer.write(b"x-a: b\r\n")
            await asyncio.sleep(0.1)
        assert await ends(reader)
        assert 0.9 < setup.loop.time() - began < 2
        writer.close()

    setup.run(story)
    assert setup.app.worker.metrics.slow_heads == 1
    assert not setup.worker.open


def test_an_idle_connection_that_has_asked_before_may_wait() -> None:
    setup = Setup(None, head_seconds=1)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request())
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(1.2)
        writer.close()

    setup.run(story)
    assert setup.app.worker.metrics.slow_heads == 0


def test_a_connection_is_not_idle_for_ever() -> None:
    setup = Setup(None)
    setup.worker.cfg.set("keepalive", 1)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request())
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(0.6)
        began = setup.loop.time()
        assert await ends(reader)
        assert setup.loop.time() - began < 1
        writer.close()

    setup.run(story)


def test_checklist_31_silent_connections_make_room_for_those_that_ask() -> None:
    setup = Setup(None, connections=16)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await answer(reader)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for _ in range(3):
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
            other_writer.write(request())
            assert (await answer(other_reader))[0] == 200
        writer.write(request())  # Who was there first still is.
        assert (await answer(reader))[0] == 200
        assert len(setup.worker.open) <= 16
        for _, each in [*silent, (reader, writer)]:
            each.close()

    setup.run(story)
    assert setup.app.worker.metrics.connections_refused > 180


def test_checklist_31_idle_connections_make_room_the_longest_idle_first() -> None:
    """Else whoever asks once on each of as many connections keeps everybody else out."""
    setup = Setup(None, connections=16)

    async def story(port: int) -> None:
        known = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
        for reader, writer in [*known, known[0]]:
            writer.write(request())
            await answer(reader)
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
        late_writer.write(request())
        assert (await answer(late_reader))[0] == 200
        assert await ends(known[1][0])
        for reader, writer in (known[0], *known[2:]):
            writer.write(request())
            assert (await answer(reader))[0] == 200

    setup.run(story)
    assert setup.worker.nr_conns <= 16


def test_a_connection_beyond_the_bound_is_refused_where_all_are_being_answered() -> None:
    setup = Setup(None, connections=16)
    setup.app.gate = asyncio.Event()

    async def story(port: int) -> None:
        known = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
        for _, writer in known:
            writer.write(request())
        while len(setup.app.scopes) < 16:
            await asyncio.sleep(0)
        late, _ = await asyncio.open_connection("127.0.0.1", port)
        assert await ends(late)
        assert setup.app.gate is not None
        setup.app.gate.set()
        for reader, _ in known:
            assert (await answer(reader))[0] == 200

    setup.run(story)
    assert setup.worker.nr_conns <= 16


# ---------------------------------------------------------------------------------------------------------------- TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_client_certificate_reaches_the_application(
    tmp_path: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    setup = Setup(tls.Serving(served(tmp_path / "s", authority)))
    leaf = authority.leaf(uris=["spiffe://hospital.example/envoy"])

    async def story(port: int) -> None:
        context = client(authority, leaf, maximum_version=version)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        for _ in range(2):
            writer.write(request())
            assert (await answer(reader))[0] == 200
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.close()

    setup.run(story)
    assert [each[CERTIFICATE] for each in setup.app.scopes] == [leaf.der, leaf.der]
    assert setup.app.scopes[0]["scheme"] == "https"


async def handshakes(port: int, context: ssl.SSLContext) -> bool:
    """Is a request over TLS answered? TLS 1.3 tells a client that it is refused only after its handshake."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(request())
        status, _ = await answer(reader)
        writer.close()
        return status == 200
    except (OSError, asyncio.IncompleteReadError):
        return False


def test_whoever_has_no_sound_certificate_gets_no_answer(tmp_path: Path, authority: Authority) -> None:
    setup = Setup(tls.Serving(served(tmp_path / "s", authority)))
    stranger = Authority(tmp_path / "other", "other")
    homonym = Authority(tmp_path / "homonym", "authority")

    async def story(port: int) -> None:
        assert await handshakes(port, client(authority, authority.leaf()))
        for leaf in (None, stranger.leaf(), homonym.leaf(), authority.leaf(days=-1)):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                assert not await handshakes(port, client(authority, leaf, maximum_version=version))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # Not TLS at all.
        writer.write(request())
        assert b"200" not in await reader.read()

    setup.run(story)
    assert len(setup.app.scopes) == 1


def test_versions_below_1_2_and_weak_ciphers_are_refused(tmp_path: Path, authority: Authority) -> None:
    setup = Setup(tls.Serving(served(tmp_path / "s", authority)))
    leaf = authority.leaf()

    async def story(port: int) -> None:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old = client(authority, leaf, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        assert not await handshakes(port, old)
        for ciphers in ("AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "NULL:@SECLEVEL=0"):
            weak = client(authority, leaf, maximum_version=ssl.TLSVersion.TLSv1_2)
            weak.set_ciphers(ciphers)
            assert not await handshakes(port, weak)
        assert await handshakes(port, client(authority, leaf, maximum_version=ssl.TLSVersion.TLSv1_2))

    setup.run(story)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_files_count_from_the_next_handshake(tmp_path: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    files = served(tmp_path / "s", authority)
    setup = Setup(tls.Serving(files))
    other = Authority(tmp_path / "other", "other")
    leaf, newcomer = authority.leaf(), other.leaf()
    second = authority.server()

    async def story(port: int) -> None:
        ours, theirs = client(authority, leaf, maximum_version=version), client(authority, newcomer)
        assert await handshakes(port, ours)
        assert not await handshakes(port, theirs)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours)
        session = writer.get_extra_info("ssl_object").session
        replace(files, second)
        setup.worker.look()
        writer.write(request())  # Who is connected stays, while the authorities do.
        assert (await answer(reader))[0] == 200
        fresh, _ = await asyncio.open_connection("127.0.0.1", port, ssl=ours)
        assert fresh._transport.get_extra_info("ssl_object").getpeercert(True) == second.der  # type: ignore[attr-defined]
        replace(files, None, other)
        setup.worker.look()
        assert await ends(reader)  # The authority it came by is gone.
        assert not await handshakes(port, ours)
        assert await handshakes(port, theirs)
        assert session is None or not session.has_ticket

    setup.run(story)
    assert setup.app.worker.metrics.tls_reloads == 2


def test_no_session_is_resumed_under_other_authorities(tmp_path: Path, authority: Authority) -> None:
    files = served(tmp_path / "s", authority)
    setup = Setup(tls.Serving(files))
    other = Authority(tmp_path / "other", "other")
    context = client(authority, authority.leaf(), maximum_version=ssl.TLSVersion.TLSv1_2)

    def resumes(port: int, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secured:
            return bool(secured.session_reused), secured.session

    async def story(port: int) -> None:
        _, session = await asyncio.to_thread(resumes, port, None)
        replace(files, None, other)
        setup.worker.look()
        with pytest.raises(OSError):
            await asyncio.to_thread(resumes, port, session)

    setup.run(story)


def test_a_broken_pair_changes_nothing_and_is_said_once(
    tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    files = served(tmp_path / "s", authority)
    serving, setup = tls.Serving(files), Setup(tls.Serving(files))
    context = client(authority, authority.leaf())

    def look() -> None:
        for _ in range(4):
            serving.look()
            setup.worker.look()

    async def story(port: int) -> None:
        files.key.write_bytes(authority.server().key_file.read_bytes())
        look()
        assert await handshakes(port, context)
        files.certificate.unlink()
        look()
        assert await handshakes(port, context)
        replace(files, authority.server())
        setup.worker.look()
        assert await handshakes(port, context)

    setup.run(story)
    said = capfd.readouterr().err
    assert said.count("ALARM") == 2
    assert "is not the key of the certificate" in said
    metrics = setup.app.worker.metrics
    assert (metrics.tls_reload_failures, metrics.tls_reloads) == (2, 1)


def test_checklist_31_a_handshake_that_trickles_is_cut_off(tmp_path: Path, authority: Authority) -> None:
    setup = Setup(tls.Serving(served(tmp_path / "s", authority)), handshake_seconds=1)

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = setup.loop.time()
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        for _ in range(8):
            writer.write(b"\0")
            await asyncio.sleep(0.1)
        assert await ends(reader)
        assert 0.9 < setup.loop.time() - began < 3
        assert await handshakes(port, client(authority, authority.leaf()))

    setup.run(story)


def test_no_renegotiation(tmp_path: Path, authority: Authority) -> None:
    assert tls.context(tls.read(served(tmp_path / "s", authority))).options & ssl.OP_NO_RENEGOTIATION


def test_a_connection_ends_with_its_certificate(tmp_path: Path, authority: Authority) -> None:
    setup = Setup(tls.Serving(served(tmp_path / "s", authority)))
    leaf = authority.leaf()

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client(authority, leaf))
        writer.write(request())
        await answer(reader)
        (connection,) = setup.worker.open
        assert connection._expiry is not None
        assert connection._expiry.when() - setup.loop.time() == pytest.approx(86_400, abs=60)
        connection.end()
        assert await ends(reader)

    setup.run(story)
    assert isinstance(Connection, type)
