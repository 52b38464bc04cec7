"""`pdp serve`: one parent and its children (builder, decisions, management, sealer, and one for each target that the
log is shipped to), watched and restarted with back-off.

The parent binds the sockets, so that a port in use is said at once and a restart refuses no connection. It decides
nothing. Children end with it, also when it is killed with -9. TERM and INT drain and end, HUP looks at the policies.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pdp.config import Address, ConfigError, Settings
from pdp.config.peps import DOORS
from pdp.serve import detecting, ladder, limits, port, preflight, shipping, tls, veiling
from pdp.serve.process import die_with, forget_signals, say
from pdp.serve.runtime import Runtime, make_key, open_directory

if TYPE_CHECKING:
    from pdp.serve.management import MakeApplication

CHILDREN: Final = "children"
SEALER: Final = "sealer"
FIRST_BACK_OFF_SECONDS: Final = 0.25
LONGEST_BACK_OFF_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 12.0


@dataclass(slots=True)
class Child:
    name: str
    main: Callable[[], int]
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    back_off: float = FIRST_BACK_OFF_SECONDS
    due: float = 0.0  # when to start it (again)

    @property
    def alive(self) -> bool:
        return self.pid > 0

    def ended(self, status: int, now: float) -> None:
        """Note the end; the next start is due after the back-off, which doubles while it keeps ending early."""
        killed = os.WIFSIGNALED(status)
        self.last_exit = f"signal {os.WTERMSIG(status)}" if killed else f"exit code {os.WEXITSTATUS(status)}"
        if now - self.started >= STEADY_SECONDS:
            self.back_off = FIRST_BACK_OFF_SECONDS
        self.pid, self.due, self.restarts = 0, now + self.back_off, self.restarts + 1
        self.back_off = min(self.back_off * 2, LONGEST_BACK_OFF_SECONDS)


class Supervisor:
    def __init__(
        self, settings: Settings, runtime: Runtime, decisions: int, management: int, make: MakeApplication
    ) -> None:
        """`decisions` and `management` are the file descriptors of the listening sockets."""
        from pdp.serve import builder

        self._runtime = runtime
        self._ladder = ladder.Watch(ladder.Ladder(settings, time.time()), say)
        self._ending = False
        self._untold = False
        self._wake = os.pipe()
        self._children = (
            Child("builder", lambda: builder.main(settings, runtime)),
            Child("decisions", lambda: _decisions(settings, runtime, decisions)),
            # Started a little later, so that the first decision does not wait for pages that nobody has asked for.
            Child("management", lambda: _management(settings, runtime, management, make), due=time.monotonic() + 0.5),
            Child(SEALER, lambda: _sealing(settings, runtime), due=time.monotonic() + 0.25),
            *(Child(name, main, due=time.monotonic() + 0.5) for name, main in shipping.children(settings, runtime)),
            *(Child(name, main, due=time.monotonic() + 1.0) for name, main in detecting.children(settings, runtime)),
        )

    def run(self) -> int:
        """Until told to end. 0, or 3 when the first policy set does not check."""
        self._handle_signals()
        code = 0
        while not self._ending:
            now = time.monotonic()
            for child in self._children:
                if not child.alive and child.due <= now:
                    self._start(child, now)
            self._wait(1.0)
            self._look()
            code = self._reap(time.monotonic())
            if code:
                break
        self._end(DRAIN_SECONDS if code == 0 else 0.0)
        return code

    def _look(self) -> None:
        found = self._ladder.look(time.time(), self._runtime.read(SEALER))
        with suppress(OSError):  # The numbers wait for the next second.
            self._runtime.write(ladder.STATUS, found)
        if self._untold:
            self._publish()

    def _handle_signals(self) -> None:
        for end in self._wake:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._told_to_end)
        signal.signal(signal.SIGINT, self._told_to_end)
        signal.signal(signal.SIGHUP, self._told_to_look)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _told_to_end(self, *_: object) -> None:
        self._ending = True

    def _told_to_look(self, *_: object) -> None:
        if self._children[0].alive:
            os.kill(self._children[0].pid, signal.SIGHUP)

    def _wait(self, seconds: float) -> None:
        import select

        due = [each.due for each in self._children if not each.alive]
        pause = min([seconds, *(max(0.0, each - time.monotonic()) for each in due)])
        if select.select([self._wake[0]], [], [], pause)[0]:
            os.read(self._wake[0], 512)

    def _start(self, child: Child, now: float) -> None:
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            self._become(child, parent)
        child.pid, child.started = pid, now
        if child.restarts:
            say(f"{child.name} was started again")
        self._publish()

    def _become(self, child: Child, parent: int) -> None:
        """In the new process: never returns."""
        code = 1
        try:
            forget_signals()
            die_with(parent)
            for end in self._wake:
                os.close(end)
            code = child.main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)

    def _reap(self, now: float) -> int:
        """Note every child that ended. Not 0 when the service cannot go on."""
        from pdp.serve.builder import EXIT_DOES_NOT_CHECK

        for child in self._children:
            pid, status = os.waitpid(child.pid, os.WNOHANG) if child.alive else (0, 0)
            if pid == 0:
                continue
            child.ended(status, now)
            if child.name == "builder" and os.WIFEXITED(status) and os.WEXITSTATUS(status) == EXIT_DOES_NOT_CHECK:
                return EXIT_DOES_NOT_CHECK
            if not self._ending:
                say(f"{child.name} ended ({child.last_exit}); it is started again in {child.due - now:.2g} s")
            self._publish()
        return 0

    def _publish(self) -> None:
        children = {
            each.name: {"alive": each.alive, "pid": each.pid, "restarts": each.restarts, "last_exit": each.last_exit}
            for each in self._children
            if each.started
        }
        try:
            self._runtime.write(CHILDREN, children)
            self._untold = False
        except OSError:  # A full disk ends nobody who is needed to go on: told the next second.
            self._untold = True

    def _end(self, drain_seconds: float) -> None:
        """Ask every child to end, give it time, then insist. The sealer last: it seals what the others have left."""
        self._end_these([each for each in self._children if each.name != SEALER], drain_seconds)
        self._end_these([each for each in self._children if each.name == SEALER], drain_seconds)

    def _end_these(self, children: list[Child], drain_seconds: float) -> None:
        for child in children:
            if child.alive:
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + drain_seconds
        while any(each.alive for each in children) and time.monotonic() < deadline:
            self._wait(0.2)
            self._reap_quietly()
        for child in children:
            if child.alive:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)

    def _reap_quietly(self) -> None:
        for child in self._children:
            if child.alive and os.waitpid(child.pid, os.WNOHANG)[0]:
                child.pid = 0


def _decisions(settings: Settings, runtime: Runtime, listener: int) -> int:
    from pdp.serve.decisions import main

    return main(settings, runtime, listener)


def _sealing(settings: Settings, runtime: Runtime) -> int:
    from pdp.serve.sealing import main

    return main(settings, runtime)


def _management(settings: Settings, runtime: Runtime, listener: int, make: MakeApplication) -> int:
    from pdp.serve.management import main

    return main(settings, runtime, listener, make)


def bind(address: Address, name: str) -> socket.socket:
    """A listening socket. Raises ConfigError with a sentence that says which setting to change."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError([f"{name}: cannot listen on {address}: {error.strerror}"]) from error
    return listener


def serve(settings: Settings, make: MakeApplication) -> int:
    """Run the service until told to end. Raises ConfigError when it cannot even begin.

    `make` makes the WSGI application of the management plane, in that plane's own process.
    """
    problems: list[str] = []
    listeners: list[socket.socket] = []
    for address, name in ((settings.http_listen, "http_listen"), (settings.management_listen, "management_listen")):
        try:
            listeners.append(bind(address, name))
        except ConfigError as error:
            problems += error.problems
    if port.wanted(settings):
        try:
            listeners.append(port.claim(settings.grpc_listen))
        except ConfigError as error:
            problems += error.problems
    known = _knows_revocations(settings)
    problems += preflight.obstacles(settings) + preflight.unmade(settings)
    if not problems:  # Whoever is refused leaves nothing behind, least of all keys.
        problems += _audit_problems(settings) + _state_problems(settings)
    if problems:
        for listener in listeners:
            listener.close()
        raise ConfigError(problems)
    try:
        runtime, _lock = open_directory()
        make_key(runtime)
        limits.make(settings.limits, runtime)
    except OSError as error:
        where = error.filename or "no temporary directory"
        raise ConfigError([f"TMPDIR: {where}: {error.strerror}; it holds what our processes share"]) from error
    announce(settings, known)
    try:
        return Supervisor(settings, runtime, listeners[0].fileno(), listeners[1].fileno(), make).run()
    finally:
        shutil.rmtree(runtime.directory, ignore_errors=True)


def _audit_problems(settings: Settings) -> list[str]:
    try:
        settings.audit_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return [f"audit_dir: {settings.audit_dir} cannot be made: {error.strerror}"]
    if not os.access(settings.audit_dir, os.W_OK | os.X_OK):
        return [f"audit_dir: {settings.audit_dir} cannot be written"]
    return veiling.problems(settings)


def _state_problems(settings: Settings) -> list[str]:
    """Without what is known of revocations nobody starts: a token that was refused would be good again."""
    from pdp.identity.store import StoreError, prepare

    try:
        prepare(settings.state_dir)
    except StoreError as error:
        return [f"state_dir: {error}"]
    return []


def _knows_revocations(settings: Settings) -> bool:
    """Is there a store, be it a good one or not, before `_state_problems` makes one?"""
    from pdp.identity.store import FILE

    return os.path.lexists(settings.state_dir / FILE)


def announce(settings: Settings, known: bool) -> None:
    """What an operator has to know at start, above all what is weaker than it could be. `known`: there was a store."""
    say(f"settings from {settings.source}; policies in {settings.policies}")
    scheme = "http" if settings.tls_certificate_file is None else "https"
    say(f"decisions on {scheme}://{settings.http_listen}, management on http://{settings.management_listen}")
    if port.wanted(settings):
        say(f"gRPC on {settings.grpc_listen}, {'without' if settings.tls_certificate_file is None else 'with'} TLS")
    say(preflight.places(settings))
    for weakness in tls.warnings(settings, time.time_ns() // 1000) + preflight.weaknesses(settings):
        say(f"WARNING: {weakness}")
    for weakness in preflight.ground(settings):
        say(f"WARNING: {weakness}")
    for weakness in settings.sessions.warnings(settings.issuers):
        say(f"WARNING: {weakness}")
    if not known:
        say(f"WARNING: {settings.state_dir} held no revocations yet: unless this is the first start, all are lost")
    for where, doors in ((settings.http_listen, DOORS - {port.DOOR}), (settings.grpc_listen, {port.DOOR})):
        bare = [each.name for each in settings.profiles if each.open and each.doors & doors]
        if bare and (where is settings.http_listen or port.wanted(settings)):
            say(f"WARNING: no secret for {', '.join(bare)}: whoever reaches {where} may ask (loopback only)")
    if settings.audit_details == "clear":
        say("WARNING: whom and what decisions are about stands in clear in the records (audit_details)")
    if settings.emergency.on:
        say(
            f"WARNING: [emergency] is on: when the log cannot be written, permits for"
            f" {', '.join(sorted(settings.emergency.purposes))} are given all the same, and recorded in"
            f" {settings.emergency.audit_dir}; whoever may say such a purpose gets them"
        )
    if settings.audit_durability != "synced":
        say("WARNING: records are written but not synced: a power failure loses those of permits that were given")
    if settings.trust_unverified_subject_header:
        say(f"WARNING: `{settings.trust_unverified_subject_header}` is believed without proof: for demonstrations only")
    if settings.max_permit_age_seconds:
        say(
            f"WARNING: permits may be kept for {settings.max_permit_age_seconds} s; accesses under them are not audited"
        )
