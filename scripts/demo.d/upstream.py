"""A small FHIR-like service. It checks nothing: who reaches it has been let in. It obeys `x-pdp-fields`."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHART: dict[str, dict[str, Any]] = {
    "Patient": {
        "name": [{"family": "Berg", "given": ["Anna"]}],
        "birthDate": "1961-05-17",
        "gender": "female",
        "identifier": {"mrn": "M-100", "ssn": "078-05-1120"},
        "telecom": "+1 312 555 0100",
        "address": {"line": "12 Elm Street", "city": "Chicago", "postalCode": "60601"},
    },
    "Record": {
        "status": "final",
        "code": "discharge-summary",
        "summary": "Recovered well after bypass surgery.",
        "note": "Asked not to tell her sister about the smoking.",
        "procedure": "CABG",
    },
    "Observation": {
        "status": "final",
        "code": "8867-4",
        "valueQuantity": {"value": 72, "unit": "/min"},
        "note": "calm",
    },
    "Claim": {"status": "active", "total": "900.00"},
}


def document(path: str) -> dict[str, Any]:
    """What stands under a path, as if it were stored there."""
    segments = [each for each in path.partition("?")[0].split("/") if each]
    kind = segments[-2] if len(segments) > 2 else segments[-1]
    return {"resourceType": kind, "id": segments[-1], **CHART.get(kind, {})}


def limited(whole: dict[str, Any], limit: dict[str, list[str]]) -> dict[str, Any]:
    """Only what is released, without what is masked. The pointers of the policies are members of this document."""
    left = json.loads(json.dumps(whole))
    if "released" in limit:
        names = {each.split("/")[1] for each in limit["released"]}
        left = {name: value for name, value in left.items() if name in names or name in ("resourceType", "id")}
    for pointer in limit.get("masked", []):
        *way, last = pointer.split("/")[1:]
        inside: Any = left
        for step in way:
            inside = inside.get(step, {}) if isinstance(inside, dict) else {}
        if isinstance(inside, dict):
            inside.pop(last, None)
    return left


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        limit = json.loads(self.headers.get("x-pdp-fields") or "{}")
        body = json.dumps(limited(document(self.path), limit)).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("content-type", "application/fhir+json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
