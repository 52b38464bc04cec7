"""`pdp revoke`: end what somebody may do, now and in every worker, by asking the management listener of each host."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli import given
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers

PATH: Final = "/api/revocations"
TIMEOUT_SECONDS: Final = 15
MAX_SECONDS_DIGITS: Final = 12
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "revoke",
        help="end the sessions of somebody, a session, a token, or the tokens of a client",
        description=(
            "Refuse what was issued before an instant, in every worker within a second. A subject or a client starts"
            " anew with its next login; a session or a token never comes back."
        ),
        epilog="exit codes: 0 in force at each --url, 1 not stored (of several: not by all), 2 usage, or no answer",
    )
    parser.add_argument("--issuer", required=True, help="`iss` of the tokens, a trust domain, or * for any")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--subject", type=given.name, help="everything that this subject has authenticated before")
    what.add_argument("--session", help="the session with this `sid`")
    what.add_argument("--token", metavar="JTI", help="the token with this `jti` (never the token itself)")
    what.add_argument("--client", help="every token issued to this client before")
    parser.add_argument("--not-before", metavar="WHEN", help="seconds since the epoch, or `forever`")
    parser.add_argument("--reason", help="for the list of revocations")
    parser.add_argument(
        "--url",
        action="append",
        help="of the management listener (else as the settings say); once for each host, since each has its own",
    )
    parser.add_argument("--secret-file", type=Path, help="with the secret of that listener (else as the settings say)")
    parser.add_argument("--output", choices=("human", "json"), default="human")


def run(args: argparse.Namespace) -> int:
    """A revocation is in force on the hosts that took it, and on no other: so each is told, and each has to answer."""
    urls, secret = _where(args)
    body = asked(args)
    taken: list[dict[str, Any]] = []
    failed: dict[str, Failure] = {}
    for url in urls:
        try:
            taken.append(_told(url, body, secret) | ({"url": url} if len(urls) > 1 else {}))
        except Failure as failure:
            failed[url] = failure
    if len(urls) == 1 and failed:
        raise failed[urls[0]]
    _print(taken, args.output, alone=len(urls) == 1)
    if failed:
        why = "\n".join(f"  {url}: {failure}" for url, failure in failed.items())
        raise Failure(
            f"not in force at {len(failed)} of {len(urls)}:\n{why}",
            "what the others took is in force there; ask these again",
            FINDINGS,
        )
    return FINE


def _told(url: str, body: dict[str, Any], secret: bytes | None) -> dict[str, Any]:
    """What one service has stored. Raises Failure: nothing is known to be in force there."""
    status, answer = _post(url + PATH, body, secret)
    if status == 201 and isinstance(answer, dict):
        return answer
    message = _message(answer)
    if status == 503:
        raise Failure(f"not revoked: {message}", "nothing has changed; ask again", FINDINGS)
    if status in (401, 403):
        raise Failure(
            f"{url} refuses us ({status})", "--secret-file names the secret of the management listener", USAGE
        )
    raise Failure(f"not revoked: {message} ({status})", code=USAGE)


def _print(taken: list[dict[str, Any]], output: str, alone: bool) -> None:
    if output == "json":
        from pdp.cli.terminal import emit_json

        emit_json(taken[0] if alone else taken)
        return
    for answer in taken:
        print(_sentence(answer) if alone else f"{answer['url']}: {_sentence(answer)}")


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """The body of the request."""
    body: dict[str, Any] = {"issuer": args.issuer}
    body |= {kind: getattr(args, kind) for kind in ("subject", "session", "token", "client") if getattr(args, kind)}
    if args.not_before is not None:
        body["not_before"] = _instant(args.not_before)
    if args.reason is not None:
        body["reason"] = args.reason
    return body


def _instant(text: str) -> int | str:
    if text == "forever":
        return text
    if text.isascii() and text.isdigit() and len(text) <= MAX_SECONDS_DIGITS:
        return int(text)
    raise Failure("--not-before must be whole seconds since the epoch, or `forever`")


def _where(args: argparse.Namespace) -> tuple[list[str], bytes | None]:
    """The URLs of the management listeners, and their secret."""
    from pdp.config import ConfigError, load
    from pdp.config.reading import secret, url

    try:
        urls = list(dict.fromkeys(url(each, Path()) for each in args.url or ()))
        if urls and args.secret_file:
            return urls, secret(args.secret_file)
        settings = load(dict(os.environ), Path.cwd())
        shown = secret(args.secret_file) if args.secret_file else settings.management_secret
        if urls:
            return urls, shown
    except ConfigError as error:
        listed = "\n".join(f"  {each}" for each in error.problems)
        raise Failure(f"the settings cannot be used:\n{listed}", "--url and --secret-file need none", USAGE) from error
    except ValueError as error:
        raise Failure(str(error), code=USAGE) from error
    listen = settings.management_listen
    host = EVERYWHERE.get(listen.host, listen.host)
    return [f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"], shown


def _post(url: str, body: dict[str, Any], secret: bytes | None) -> tuple[int, Any]:
    import requests

    headers = {"Content-Type": "application/json"}
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret.decode('ascii')}"
    data = json.dumps(body).encode("utf-8")
    try:
        with requests.Session() as session:
            session.trust_env = False  # No proxy, and no .netrc that would replace the secret.
            found = session.post(url, data=data, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise Failure(f"{url} cannot be asked: {type(error).__name__}", "is the service running?", USAGE) from error
    try:
        return found.status_code, found.json()
    except ValueError:
        return found.status_code, None


def _sentence(answer: Any) -> str:
    from pdp.cli.terminal import printable

    until = answer["not_before"]
    refused = "for good" if until == "forever" else f"where it is older than {until}"
    named = printable(f"{answer['kind']} {answer['value']} of {answer['issuer']}")
    return f"{named} is refused {refused} (revocation {answer['id']})"


def _message(answer: Any) -> str:
    detail = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(detail, dict):
        return "the answer cannot be read"
    field = f"{detail['field']} " if detail.get("field") else ""
    return f"{field}{detail.get('message', '')}"
