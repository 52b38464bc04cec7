"""OpenTelemetry logs over HTTP, in JSON (OTLP 1.x, `/v1/logs`): one log record for each record, its body unchanged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from urllib3.exceptions import HTTPError

from pdp import __version__
from pdp.audit.ship.destination import Otlp
from pdp.audit.ship.target import Item, ShipError

MOST_ANSWER_BYTES: Final = 65_536
SEVERITY_INFO: Final = 9


class Collector:
    """One endpoint. No redirects, no cookies, no proxies of the environment."""

    def __init__(self, where: Otlp, timeout_seconds: int) -> None:
        self._where = where
        self._seconds = timeout_seconds
        trust = where.trust
        session = self._session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.verify = True if trust.ca_file is None else str(trust.ca_file)
        if trust.certificate_file is not None and trust.key_file is not None:
            session.cert = (str(trust.certificate_file), str(trust.key_file))

    def put(self, batch: Sequence[Item]) -> None:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._where.secret:
            headers[self._where.header] = self._where.secret.decode()
        body = json.dumps(logs(batch), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            with self._session.post(
                self._where.url,
                data=body,
                headers=headers,
                timeout=self._seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                answer = response.raw.read(MOST_ANSWER_BYTES + 1)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise ShipError(f"the collector does not answer: {type(error).__name__}") from None
        if status != 200:
            raise ShipError(f"the collector answered {status}")
        taken(answer)

    def close(self) -> None:
        self._session.close()


def taken(answer: bytes) -> None:
    """Were all of them taken? Raises ShipError, also for an answer that does not say so."""
    try:
        found = json.loads(answer) if len(answer) <= MOST_ANSWER_BYTES else None
        if not isinstance(found, dict):
            raise ValueError("no object")
        rejected = int((found.get("partialSuccess") or {}).get("rejectedLogRecords", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ShipError("the collector answered 200, and not as one") from None
    if rejected:
        raise ShipError(f"the collector rejected {rejected} records")


def logs(batch: Sequence[Item]) -> dict[str, Any]:
    """An ExportLogsServiceRequest."""
    scope = {"name": "chaperone.audit", "version": __version__}
    service = [_text("service.name", "chaperone")]
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": service},
                "scopeLogs": [{"scope": scope, "logRecords": [_record(each) for each in batch]}],
            }
        ]
    }


def _record(item: Item) -> dict[str, Any]:
    return {
        "timeUnixNano": str(item.time * 1_000),
        "severityNumber": SEVERITY_INFO,
        "severityText": "INFO",
        "eventName": item.kind,
        "body": {"stringValue": item.body.decode("utf-8", "replace")},
        "attributes": [
            _text("log.record.uid", item.key),
            _text("chaperone.stream", item.stream),
            {"key": "chaperone.seq", "value": {"intValue": str(item.seq)}},
        ],
    }


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
