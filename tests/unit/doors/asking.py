"""CheckRequests for tests, as Envoy makes them."""

from __future__ import annotations

from typing import Any

from pdp.doors.envoy_messages import CheckRequest


def check_request(
    path: str = "/fhir/Record/r1",
    *lines: tuple[str, bytes],
    method: str = "GET",
    host: str = "ehr.example",
    raw: bool = True,
) -> Any:
    """`raw`: every line of its own, as with `encode_raw_headers`; else joined, as without."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, host, "https"
    pseudo = ((":authority", host), (":method", method), (":path", path), (":scheme", "https"))
    given = [(name, value.encode()) for name, value in pseudo] + list(lines)
    for name, value in given:
        if raw:
            http.header_map.headers.add(key=name, raw_value=value)
        else:
            before = http.headers.get(name)
            text = value.decode("utf-8", "replace").replace("\ufffd", "!")
            http.headers[name] = text if before is None else f"{before},{text}"
    return request
