"""`pdp lint-proxy`: what it says, in which form, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdp.diagnostics.source import Source
from pdp.lint.catalogue import CATALOGUE
from pdp.lint.others import other

from .conftest import Pdp

ROOT = Path(__file__).parents[3]
ENVOY = ROOT / "deploy/envoy/grpc.yaml"


def opened(directory: Path) -> Path:
    path = directory / "envoy.yaml"
    path.write_text(ENVOY.read_text().replace("failure_mode_allow: false", "failure_mode_allow: true"))
    return path


def test_a_sound_file_is_fine(pdp: Pdp) -> None:
    ran = pdp("lint-proxy", ENVOY)
    assert (ran.code, ran.out, ran.err) == (0, "1 file: nothing found\n", "")


def test_a_finding_has_its_place_what_it_opens_and_what_to_do(pdp: Pdp, tmp_path: Path) -> None:
    ran = pdp("lint-proxy", opened(tmp_path))
    assert ran.code == 1
    line = (
        opened(tmp_path)
        .read_text()
        .split("\n")
        .index("              failure_mode_allow: true                      # no answer is no access")
    )
    assert f"envoy.yaml:{line + 1}:15: error[envoy-failure-mode-allow]: when Chaperone does not answer" in ran.out
    assert "^^^^^^^^^^^^^^^^^^^^^^^^" in ran.out
    assert "= hint: set `failure_mode_allow: false`" in ran.out
    assert ran.out.endswith("1 file: 1 error\n")


def test_json_and_sarif_are_for_machines(pdp: Pdp, tmp_path: Path) -> None:
    found = json.loads(pdp("lint-proxy", opened(tmp_path), "--output", "json").out)
    assert [each["code"] for each in found["diagnostics"]] == ["envoy-failure-mode-allow"]
    assert found["files"] == [str(tmp_path / "envoy.yaml")]
    sarif = json.loads(pdp("lint-proxy", opened(tmp_path), "--output", "sarif").out)
    [rule] = sarif["runs"][0]["tool"]["driver"]["rules"]
    assert rule["fullDescription"]["text"] == CATALOGUE["envoy-failure-mode-allow"].explanation
    assert pdp("lint-proxy", opened(tmp_path), "--output", "sarif").code == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"\xff\xfe", "is not UTF-8"), (b"a" * (5 << 20), "is longer than")],
)
def test_what_cannot_be_read_is_never_fine(pdp: Pdp, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "envoy.yaml"
    if content is not None:
        path.write_bytes(content)
    ran = pdp("lint-proxy", path)
    assert ran.code == 2
    assert message in ran.err


def test_a_directory_is_no_configuration(pdp: Pdp, tmp_path: Path) -> None:
    assert pdp("lint-proxy", tmp_path).code == 2
    assert pdp("lint-proxy").code == 2


def test_the_kind_can_be_said(pdp: Pdp, tmp_path: Path) -> None:
    path = tmp_path / "anything"
    path.write_text(ENVOY.read_text())
    assert pdp("lint-proxy", path).code == 0
    assert pdp("lint-proxy", path, "--kind", "envoy").code == 0
    assert pdp("lint-proxy", path, "--kind", "istio").code == 1
    assert pdp("lint-proxy", path, "--kind", "nginx").code == 1
    assert pdp("lint-proxy", path, "--kind", "apache").code == 2


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("haproxy/haproxy.cfg", "HAProxy"),
        ("caddy/Caddyfile", "Caddy"),
        ("traefik/traefik.yml", "Traefik"),
        ("traefik/dynamic.yml", "Traefik"),
        ("apisix/apisix.yaml", "APISIX"),
    ],
)
def test_what_is_not_judged_is_said_and_is_not_fine(pdp: Pdp, tmp_path: Path, name: str, whose: str) -> None:
    path = tmp_path / "configuration"  # The name says nothing.
    path.write_text((ROOT / "deploy" / name).read_text())
    ran = pdp("lint-proxy", ENVOY, path)
    assert ran.code == 2
    assert ran.out == ""
    assert "HAProxy, Caddy, Traefik and APISIX configurations are not judged" in ran.err
    assert f"{path} looks like {whose}" in ran.err


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("[eikn]*/*.*")), ids=lambda path: path.name)
def test_what_is_judged_is_not_taken_for_another_proxys(path: Path) -> None:
    assert other(Source(path.name, path.read_text())) == ""


def nginx(directory: Path, secret: str | None) -> Path:
    path = directory / "nginx.conf"
    path.write_text((ROOT / "deploy/nginx/nginx.conf").read_text())
    if secret is not None:
        (directory / "chaperone-secret.conf").write_text(f'proxy_set_header X-Pdp-Secret "{secret}";\n')
    return path


def test_what_nginx_includes_is_read_with_it(pdp: Pdp, tmp_path: Path) -> None:
    assert pdp("lint-proxy", nginx(tmp_path, "0123456789abcdef")).code == 0
    ran = pdp("lint-proxy", nginx(tmp_path, ""))
    assert ran.code == 1
    assert "nginx-no-proof" in ran.out


def test_what_nginx_would_include_and_is_not_there_is_not_fine(pdp: Pdp, tmp_path: Path) -> None:
    ran = pdp("lint-proxy", nginx(tmp_path, None))
    assert ran.code == 1
    assert "proxy-not-judged" in ran.out


def test_files_included_by_a_pattern_are_judged_at_their_own_place(pdp: Pdp, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "nginx.conf").write_text("events {}\nhttp {\n  include mime.types;\n  include conf.d/*.conf;\n}\n")
    (tmp_path / "conf.d/a.conf").write_text("server {\n  listen 127.0.0.1:80;\n  location / { root /srv; }\n}\n")
    ran = pdp("lint-proxy", tmp_path / "nginx.conf")
    assert ran.code == 1
    assert f"{tmp_path}/conf.d/a.conf:3:3: error[nginx-unchecked]" in ran.out


def test_files_that_belong_together_are_given_together(pdp: Pdp) -> None:
    files = sorted((ROOT / "deploy/istio").glob("*.yaml"))
    assert pdp("lint-proxy", *files).code == 0
    assert pdp("lint-proxy", *files[:-1]).code == 1
