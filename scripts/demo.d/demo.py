"""The demo: Envoy in front of a small service, Chaperone asked for every request, a table of who got in and why."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from login import Login
from processes import Processes, port
from questions import EVALUATIONS, QUESTIONS, Evaluation, Question

from pdp.audit.journal.reader import slots

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVOYS = ("plain", "gateway")


class Demo:
    def __init__(self, directory: Path, processes: Processes) -> None:
        self.directory = directory
        self.processes = processes
        self.login = Login(directory)
        taken: set[int] = set()
        self.words: dict[str, Any] = {
            "policies": ROOT / "policies" / "hospital",
            "pdp_port": port(8181, taken),
            "management_port": port(8282, taken),
            "grpc_port": port(9191, taken),
            "plain_port": port(10000, taken),
            "gateway_port": port(10001, taken),
            "upstream_port": port(10080, taken),
        }

    def start(self) -> None:
        self.write("pdp.toml", "pdp.toml", self.words)
        for name in ENVOYS:
            own = {"secret": secrets.token_urlsafe(24), "envoy_port": self.words[f"{name}_port"]}
            self.write(f"{name}.yaml", f"{name}.yaml", self.words | own)
            (self.directory / f"{name}.secret").write_text(own["secret"], encoding="ascii")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PDP_")}
        python, words = sys.executable, self.words
        upstream = [python, str(HERE / "upstream.py"), str(words["upstream_port"])]
        self.processes.start("upstream", upstream, clean)
        settings = clean | {"PDP_CONFIG": str(self.directory / "pdp.toml")}
        self.processes.start("chaperone", [python, "-m", "pdp", "serve"], settings)
        envoy = [binary("envoy"), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"]
        for name in ENVOYS:
            self.processes.start(name, [*envoy, str(self.directory / f"{name}.yaml")], clean)
        self.processes.listening("upstream", words["upstream_port"])
        self.processes.listening("chaperone", words["pdp_port"])
        for name in ENVOYS:
            self.processes.listening(name, words[f"{name}_port"])
        self.ready()

    def write(self, template: str, name: str, words: dict[str, Any]) -> None:
        text = (HERE / template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        (self.directory / name).write_text(text, encoding="utf-8")

    def ready(self) -> None:
        """Until the policies are loaded: `/ready` says 200."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if send(self.words["pdp_port"], "GET", "/ready", {})[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        log = (self.directory / "chaperone.log").read_text(errors="replace")
        raise SystemExit(f"chaperone is not ready; it says:\n{log}")

    def record(self, decision_id: str) -> dict[str, Any]:
        """What the log holds of one decision: its id, why, and by which rules."""
        for slot in slots(self.directory / "audit"):
            for _, frame in slot.frames():
                found: dict[str, Any] = json.loads(frame.payload)
                if found.get("id") == decision_id:
                    decision = found["dec"]
                    return {"decision_id": decision_id, "reason": decision["reason"], "rules": decision["rule"]}
        return {}

    def ask(self, question: Question) -> list[str]:
        """Ask through Envoy, print the row, and give back what was not as expected."""
        headers = dict(question.headers)
        if question.user:
            headers["authorization"] = f"Bearer {self.login.token(question.user, question.lasts, question.forged)}"
        at = self.words[f"{question.through}_port"]
        status, got, body = send(at, question.method, question.path, headers)
        record = self.record(got["x-pdp-decision"]) if "x-pdp-decision" in got else {}
        wrong = []
        if status != question.status:
            wrong.append(f"status {status}, not {question.status}")
        if record.get("reason", "") != question.reason:
            wrong.append(f"reason {record.get('reason')}, not {question.reason}")
        if question.rules and tuple(record.get("rules", ())) != question.rules:
            wrong.append(f"rules {record.get('rules')}, not {list(question.rules)}")
        wrong += [f"the answer holds `{each}`" for each in question.without if f'"{each}"'.encode() in body]
        what = f"{question.method} {question.path}"
        row(question.through, question.user or "(nobody)", what, str(status), record, question.why, wrong)
        return wrong

    def evaluate(self, question: Evaluation) -> list[str]:
        """Ask at the AuthZEN door."""
        asked = {
            "subject": dict(zip(("type", "id"), question.subject, strict=True)),
            "action": {"name": question.action},
            "resource": dict(zip(("type", "id"), question.resource, strict=True)),
            "context": question.context,
        }
        body = json.dumps(asked).encode()
        headers = {"content-type": "application/json"}
        _, got, answer = send(self.words["pdp_port"], "POST", "/access/v1/evaluation", headers, body)
        allowed = json.loads(answer).get("decision")
        record = self.record(got.get("x-pdp-decision", "-"))
        wrong = []
        if allowed is not question.allowed:
            wrong.append(f"decision {allowed}, not {question.allowed}")
        if record.get("reason", "") != question.reason:
            wrong.append(f"reason {record.get('reason')}, not {question.reason}")
        if question.rules and tuple(record.get("rules", ())) != question.rules:
            wrong.append(f"rules {record.get('rules')}, not {list(question.rules)}")
        purpose = f" for {question.context['purpose']}" if "purpose" in question.context else ""
        what = f"{question.action} {'/'.join(question.resource)}{purpose}"
        shown = "allow" if allowed else "deny"
        row("authzen", "/".join(question.subject), what, shown, record, question.why, wrong)
        return wrong

    def without_chaperone(self) -> list[str]:
        """Fail closed: when nobody answers, nobody gets in."""
        self.processes.stop("chaperone")
        question = QUESTIONS[0]
        headers = {"authorization": f"Bearer {self.login.token(question.user)}"}
        status, _, _ = send(self.words["plain_port"], question.method, question.path, headers)
        wrong = [] if status == 503 else [f"status {status}, not 503"]
        row("plain", question.user, f"{question.method} {question.path}", str(status), {}, "Chaperone is gone", wrong)
        return wrong


def binary(name: str) -> str:
    """The program that a package of ours installed, else the one on the path."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed; scripts/demo installs it with the `demo` extra")
    return found


def send(
    at: int, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=5)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def row(through: str, who: str, what: str, got: str, record: dict[str, Any], why: str, wrong: list[str]) -> None:
    mark = "!!" if wrong else "  "
    print(f"{mark}{through:8}{who:26}{what:58}{got:6}{why}")
    reason, rules = record.get("reason", ""), ", ".join(record.get("rules", ()))
    if reason:
        print(f"{'':36}{reason}{': ' if rules else ''}{rules}   [{record['decision_id']}]")
    for each in wrong:
        print(f"!!{'':34}NOT AS EXPECTED: {each}")


def keep(demo: Demo) -> None:
    words = demo.words
    print(f"""
It runs until you press Ctrl-C. Try, with these people's access tokens (an hour each):
  osei={demo.login.token("dr-osei")}
  park={demo.login.token("trainee-park")}
  curl -i -H "authorization: Bearer $osei" http://127.0.0.1:{words["plain_port"]}/fhir/Patient/pat-100/Record/rec-1001
  curl -i -H "authorization: Bearer $park" http://127.0.0.1:{words["gateway_port"]}/fhir/Patient/pat-100/Record/rec-1001
  open http://127.0.0.1:{words["management_port"]}/       the rules, and a form to try a request
  edit {words["policies"]}/*.ward         a change is taken when it checks""")
    signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running, for trying by hand")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="chaperone-demo-") as name, Processes(Path(name)) as processes:
        demo = Demo(Path(name), processes)
        demo.start()
        print(f"  {'through':8}{'who':26}{'asks for':58}{'got':6}why")
        wrong = [each for question in QUESTIONS for each in demo.ask(question)]
        wrong += [each for question in EVALUATIONS for each in demo.evaluate(question)]
        if arguments.keep:
            try:
                keep(demo)
            except KeyboardInterrupt:
                print()
        else:
            wrong += demo.without_chaperone()
        print(f"\n{len(wrong)} not as expected" if wrong else "\nEvery answer is as expected.")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
