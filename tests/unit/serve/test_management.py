"""What is leant on of gunicorn's threads, and what is added to them: fails loudly where gunicorn changes it."""

import inspect

import pytest
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]


@pytest.mark.parametrize("name", ["init_process", "enqueue_req", "handle", "murder_pending"])
def test_what_is_overridden_is_there(name: str) -> None:
    assert name in vars(ThreadWorker)


def test_gunicorn_gives_a_new_connection_to_enqueue_req_and_looks_after_it_each_turn() -> None:
    assert "self.enqueue_req(conn)" in inspect.getsource(ThreadWorker.accept)
    run = inspect.getsource(ThreadWorker.run)
    assert "self.wait_for_and_dispatch_events(timeout=1.0)" in run
    assert "self.murder_pending()" in run
    assert "self.nr_conns < self.worker_connections" in run


def test_gunicorn_takes_up_a_connection_that_waited_when_it_speaks_and_closes_it_when_it_does_not() -> None:
    readable = inspect.getsource(ThreadWorker.on_pending_socket_readable)
    assert "self.pending_conns.remove(conn)" in readable
    assert "conn.data_ready = True" in readable
    assert "self.enqueue_req(conn)" in readable
    murder = inspect.getsource(ThreadWorker.murder_pending)
    assert "conn.timeout - now" in murder
    assert "self.pending_conns.popleft()" in murder


def test_a_connection_has_what_is_asked_of_it() -> None:
    made = inspect.getsource(TConn.__init__)
    for name in ("self.initialized = False", "self.data_ready = False", "self.timeout = None", "self.sock = sock"):
        assert name in made
