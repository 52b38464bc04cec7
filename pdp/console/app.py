"""The console: pages rendered here, escaped, without scripts and without anything from elsewhere.

It reads, and it revokes; nothing here opens anything. Off loopback it asks for a secret; on loopback it answers only to
its own host names, so that a web page elsewhere cannot read it by pointing a name of its own at 127.0.0.1.
"""

from __future__ import annotations

import time
from base64 import b64decode
from hmac import compare_digest
from typing import Any, Final

import orjson
from flask import Flask, Response, render_template, request

from pdp.config import Profile, Settings
from pdp.console import revoke
from pdp.console.exposition import exposition
from pdp.console.source import Active, Source
from pdp.console.trial import Trial, example, trial
from pdp.language.core import Rule

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # With "no-referrer" our own forms would come from `Origin: null`.
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MAX_FORM_BYTES: Final = 1_048_576
NOBODY: Final = Profile("nobody", may_assert=frozenset())


def application(settings: Settings, source: Source) -> Flask:
    """The WSGI application of the management listener."""
    app = Flask("pdp.console", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_FORM_BYTES
    app.jinja_env.autoescape = True
    _guard(app, settings)
    revoke.register(app, settings, _now)

    @app.get("/")
    def rules() -> str:
        current = source.current()
        shown = _rules(current)
        return render_template("rules.html", rules=shown, state=_state(source, current), builder=source.builder())

    @app.route("/try", methods=["GET", "POST"])
    def try_one() -> str | tuple[str, int]:
        current = source.current()
        profiles = {each.name: each for each in settings.profiles}
        chosen = request.form.get("profile", next(iter(profiles)))
        text = request.form.get("request", "") or example(current.engine.program.policies if current else None)
        outcome: Trial | None = None
        if request.method == "POST" and current is not None:
            outcome = trial(text, profiles.get(chosen, NOBODY), current.engine, _now())
        page = render_template("try.html", text=text, profiles=list(profiles), chosen=chosen, outcome=outcome)
        return page if outcome is None or not outcome.problem else (page, 400)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(source), content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/api/policy-set")
    def policy_set() -> Response:
        current = source.current()
        body = _state(source, current) | {"rules": _rules(current)}
        return Response(orjson.dumps(body), content_type="application/json")

    @app.get("/live")
    def live() -> Response:
        return Response("live\n", content_type="text/plain")

    return app


def _now() -> int:
    return time.time_ns() // 1000


def _guard(app: Flask, settings: Settings) -> None:
    listen = settings.management_listen
    hosts = {f"{name}:{listen.port}" for name in ("localhost", "127.0.0.1", "[::1]", str(listen).rpartition(":")[0])}

    @app.before_request
    def known() -> Response | None:
        if request.path == "/live" or request.endpoint == revoke.EVENT:
            return None
        if settings.management_secret is not None:
            if not _authorised(request.headers.get("Authorization", ""), settings.management_secret):
                return Response("unknown\n", 401, {"WWW-Authenticate": 'Basic realm="chaperone management"'})
        elif request.host not in hosts:
            return Response("this listener answers to its own names only\n", 403)
        if request.method not in ("GET", "HEAD", "OPTIONS") and _foreign():
            return Response("not from another site\n", 403)
        return None

    @app.after_request
    def hardened(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


def _foreign() -> bool:
    """Does a page of another site ask? A browser says so in either header, and what is no browser sends neither."""
    origin = request.headers.get("Origin")
    own = (f"http://{request.host}", f"https://{request.host}")  # TLS may end in front of us.
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") or (
        origin is not None and origin not in own
    )


def _authorised(header: str, secret: bytes) -> bool:
    scheme, _, value = header.partition(" ")
    try:
        given = value.strip().encode("ascii")
        if scheme.lower() == "basic":
            given = b64decode(given, validate=True).partition(b":")[2]
        elif scheme.lower() != "bearer":
            return False
    except ValueError:
        return False
    return compare_digest(given, secret)


def _rules(current: Active | None) -> list[dict[str, Any]]:
    return [_shown(rule) for rule in current.engine.program.policies.rules] if current else []


def _state(source: Source, current: Active | None) -> dict[str, Any]:
    pointer, builder = source.pointer(), source.builder()
    if current is None:
        return {"active": False, "stale": bool(builder.get("stale")), "problem": builder.get("problem", "")}
    return {
        "active": True,
        "digest": pointer.get("digest"),
        "source_digest": pointer.get("source_digest"),
        "data_revision": pointer.get("revision"),
        "entities": pointer.get("entities"),
        "age_seconds": round(max(0.0, time.time() - pointer.get("built_at", 0)), 1),
        "stale": bool(builder.get("stale")),
        "problem": builder.get("problem", ""),
    }


def _shown(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "effect": rule.effect,
        "sentence": rule.sentence,
        "citations": list(rule.citations),
        "owner": rule.owner,
        "module": rule.module,
        "on": [f"{action} on {resource}" for action, resource in sorted(rule.pairs)],
        "where": rule.header.where,
        "text": rule.span.text,
    }
