"""What our server does without us: an ASGI application that sends JSON back, under the same gunicorn settings.

echo.py PORT
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import orjson
from gunicorn.app.base import BaseApplication

from pdp.serve.decisions import KEEP_ALIVE_SECONDS, common


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    body = orjson.dumps(orjson.loads(message["body"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Echo(BaseApplication):  # type: ignore[misc]
    def __init__(self, listener: int) -> None:
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        chosen = common(self.listener, "echo") | {"worker_class": "asgi", "workers": 1, "keepalive": KEEP_ALIVE_SECONDS}
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return application


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    os.set_inheritable(listener.fileno(), True)
    Echo(listener.fileno()).run()
