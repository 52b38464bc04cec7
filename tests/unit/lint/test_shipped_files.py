"""What we ship is fine, and no line of it can be turned into its dangerous opposite without a finding."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.lint.examples import ROOT, found, text

SDS = [f"deploy/envoy/sds/{path.name}" for path in sorted((ROOT / "deploy/envoy/sds").glob("*.yaml"))]
GRPC, HTTP = ["deploy/envoy/grpc.yaml", *SDS], ["deploy/envoy/http.yaml", *SDS]
ISTIO = [f"deploy/istio/{path.name}" for path in sorted((ROOT / "deploy/istio").glob("*.yaml"))]
NGINX = ["deploy/nginx/nginx.conf", "tests/unit/lint/chaperone-secret.conf"]
SETS = [GRPC, HTTP, ISTIO, NGINX]

ENVOY_VALUES = {
    "require_client_certificate": ["false"],
    "tls_minimum_protocol_version": ["TLSv1_0", "TLSv1_1", "1", "SSLv3"],
    "use_remote_address": ["false", "no"],
    "normalize_path": ["false", "off", '"false"', "null", "[]"],
    "merge_slashes": ["false", "null"],
    "path_with_escaped_slashes_action": [
        "KEEP_UNCHANGED",
        "UNESCAPE_AND_REDIRECT",
        "UNESCAPE_AND_FORWARD",
        "IMPLEMENTATION_SPECIFIC_DEFAULT",
        "1",
        "REJECT",
    ],
    "headers_with_underscores_action": ["ALLOW", "0"],
    "max_stream_duration": ["0s", "null"],
    "request_headers_timeout": ["0s"],
    "stream_idle_timeout": ["0s"],
    "forward_client_cert_details": ["FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY", "1", "2", "4"],
    "transport_api_version": ["V2", "AUTO"],
    "failure_mode_allow": ["true", "yes", "on", "y", '"true"', "1", "{}"],
    "status_on_error": ["{code: 200}", "{code: 302}", "{code: OK}", "200"],
    "validate_mutations": ["false"],
    "clear_route_cache": ["true"],
    "disallow_system": ["false"],
    "allow_request_without_credential": ["true"],
    "path_prefix": ["/", "/check", "/ext_authz/", '""'],
    "encode_raw_headers": ["false"],
    "timeout": ["600s", "0s", "10m", "2s"],
    "prefix": ["/fhir", "x-pdp-s"],
}
"""Of Envoy's fields: what opens something."""
NOT_OF_THE_CHECK = ("idle_timeout", "route: {cluster: ehr", "connect_timeout", "connection_keepalive")

ISTIO_VALUES = {
    "normalization": ["NONE", "BASE", "DEFAULT", "1"],
    "timeout": ["600s", "10m", "0s"],
    "failOpen": ["true", "yes", "1"],
    "statusOnError": ['"200"', '"OK"', '"302"'],
    "clearRouteCache": ["true"],
    "pathPrefix": ["/check", '""', "/ext_authz/"],
    "action": ["ALLOW", "DENY", "AUDIT", "CUSTON"],
    "rules": ["[]", "[{to: [{operation: {paths: [/fhir/*]}}]}]", "[{when: [{key: x, values: [y]}]}]"],
    "validate_mutations": ["false"],
    "mode": ["DISABLE", "SIMPLE", "PERMISSIVE"],
    "includeRequestHeadersInCheck": ['["*"]', '["x-pdp-*"]', '["*-subject"]', "[x-pdp-secret]", "[]"],
    "headersToUpstreamOnAllow": ["[]", "[x-pdp-decision]", '["x-pdp-*"]'],
    "forward_client_cert_details": ["APPEND_FORWARD", "FORWARD_ONLY"],
}

NGINX_LINES = {
    "underscores_in_headers off;": ["underscores_in_headers on;"],
    "ignore_invalid_headers on;": ["ignore_invalid_headers off;"],
    "auth_request /_chaperone;": ["", "auth_request off;", "auth_request /other;", "auth_request $question;"],
    "proxy_pass http://service;": [
        "proxy_pass http://service/;",
        "proxy_pass http://$http_host;",
        "proxy_pass http://service; proxy_cache answers;",
        "proxy_pass http://service; proxy_store on;",
        "proxy_pass http://service; proxy_method GET;",
        "proxy_pass http://service; mirror /copy;",
    ],
    "proxy_set_header Host       $host;": ["proxy_set_header Host $http_x_host;", "proxy_set_header Host $arg_host;"],
    "$request_method $status $pdp_decision $pdp_receipt';": [
        "$request $pdp_decision';",
        "$request_method ${request_uri} $pdp_decision';",
        "$uri?$args';",
        "$arg_name';",
        "$http_referer';",
    ],
    "access_log /dev/stdout chaperone;": [
        "access_log /dev/stdout;",
        "access_log /dev/stdout combined;",
        "access_log /dev/stdout buffer=32k;",
    ],
    "proxy_pass http://chaperone/forward-auth;": [
        "proxy_pass http://chaperone;",
        "proxy_pass http://chaperone/forward-auth$is_args$args;",
        "proxy_pass http://192.0.2.7:8181/forward-auth;",
        "proxy_pass https://chaperone/forward-auth;",
    ],
    "server 127.0.0.1:8181;": ["server 192.0.2.7:8181;", "server chaperone.example:8181;"],
    "internal;\n            auth_request off;\n            proxy_pass": ["auth_request off;\n            proxy_pass"],
    "proxy_read_timeout 2s;": ["proxy_read_timeout 10m;", ""],
    "proxy_pass_request_body off;": ["", "proxy_pass_request_body on;"],
    'proxy_set_header Content-Length "";': ["", "proxy_set_header Content-Length $content_length;"],
    "proxy_set_header X-Original-Method $request_method;": ["", "proxy_set_header X-Original-Method GET;"],
    "proxy_set_header X-Original-URI    $request_uri;": [
        "",
        "proxy_set_header X-Original-URI $uri;",
        "proxy_set_header X-Original-URI $document_uri;",
        "proxy_set_header X-Original-URI $http_x_original_uri;",
    ],
    "proxy_set_header X-Original-Host   $host;": ["", "proxy_set_header X-Original-Host $arg_host;"],
    "proxy_set_header X-Client-Certificate $ssl_client_escaped_cert;": [
        "",
        "proxy_set_header X-Client-Certificate $http_x_client_certificate;",
    ],
    "include chaperone-secret.conf;": ["", "include other.conf;"],
    "error_page 403 @denied;": ["error_page 403 =200 /index.html;", "error_page 401 403 500 = @elsewhere;"],
    "proxy_set_header X-Pdp-Subject      $pdp_subject;": ["", "proxy_set_header X-Pdp-Subject $http_x_user;"],
    "listen 127.0.0.1:8000;": ["listen 8000;", "listen 0.0.0.0:80;", "listen [::]:80;", ""],
    "location / {": [
        "location /a { proxy_pass http://service; auth_request off; }\n        location / {",
        "satisfy any;\n        location / {",
        "location / {\n            proxy_cache_key $uri; auth_request off;",
        "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }\n        location / {",
        "location /l { content_by_lua_block { ngx.say('}') } }\n        location / {",
    ],
}


def files(names: list[str]) -> dict[str, str]:
    return {name: text(name) for name in names}


@pytest.mark.parametrize("names", SETS, ids=["envoy-grpc", "envoy-http", "istio", "nginx"])
def test_checklist_32_what_is_shipped_is_fine(names: list[str]) -> None:
    assert [(each.span.where, each.code, each.message) for each in found(files(names))] == []


def field_changes(names: list[str], values: dict[str, list[str]]) -> Iterator[object]:
    """Every field that stands in a line of its own, with each of its dangerous values."""
    field = re.compile(r"^(\s*(?:- )?)(\w+): +(\[[^#]*\]|\{[^#]*\}|\S+)( +#.*)?$")
    for name in names:
        lines = text(name).split("\n")
        for at, line in enumerate(lines):
            match = field.match(line)
            for value in values.get(match[2], []) if match else ():
                assert match is not None
                changed = "\n".join([*lines[:at], f"{match[1]}{match[2]}: {value}", *lines[at + 1 :]])
                yield pytest.param(names, name, changed, id=f"{name}:{at + 1}:{match[2]}={value}")


def inline_changes(names: list[str], values: dict[str, list[str]]) -> Iterator[object]:
    """The same for fields inside braces."""
    for name in names:
        lines = text(name).split("\n")
        for at, line in enumerate(lines):
            if any(mark in line for mark in NOT_OF_THE_CHECK) or line.lstrip().startswith("#"):
                continue
            for key in set(values) & set(re.findall(r"[{,] *(\w+):", line)):
                for value in values[key]:
                    changed = re.sub(rf"([{{,] *{key}: *)(\"[^\"]*\"|[^,}}\s]+)", rf"\g<1>{value}", line, count=1)
                    whole = "\n".join([*lines[:at], changed, *lines[at + 1 :]])
                    yield pytest.param(names, name, whole, id=f"{name}:{at + 1}:{{{key}={value}}}")


CHANGES = [
    *(change for names in (GRPC, HTTP) for change in field_changes(names[:1], ENVOY_VALUES)),
    *(change for names in (GRPC, HTTP) for change in inline_changes(names[:1], ENVOY_VALUES)),
    *field_changes(ISTIO, ISTIO_VALUES),
    *inline_changes(ISTIO, ISTIO_VALUES),
]


@pytest.mark.parametrize(("names", "changed", "content"), CHANGES)
def test_checklist_32_a_dangerous_value_in_a_shipped_file_is_found(
    names: list[str], changed: str, content: str
) -> None:
    assert content != text(changed)
    assert found(files(names) | {changed: content})


@pytest.mark.parametrize(
    ("line", "instead"), [(line, instead) for line, others in NGINX_LINES.items() for instead in others]
)
def test_checklist_32_a_dangerous_line_in_the_shipped_nginx_is_found(line: str, instead: str) -> None:
    whole = text(NGINX[0])
    assert line in whole
    at = whole.rindex(line)
    assert found(files(NGINX) | {NGINX[0]: whole[:at] + instead + whole[at + len(line) :]})


def test_every_field_of_the_tables_stands_in_a_shipped_file() -> None:
    """A table whose field no file has would show nothing."""
    shown = " ".join(str(change.id) for change in CHANGES)  # type: ignore[attr-defined]
    for values in (ENVOY_VALUES, ISTIO_VALUES):
        assert [key for key in values if f":{key}=" not in shown and f"{{{key}=" not in shown] == []


LINES_THAT_MATTER = re.compile(
    r"ext_authz|require_client|normalize_path|merge_slashes|escaped_slashes|underscores_action|remote_address|"
    r"max_stream_|validate_mutations|mutation_rules|disallow_system|encode_raw|remove_on_match|path_prefix|"
    r"^ +timeout: 0|"
    r"san_type|exact: x-pdp-(fields|subject|obl)|allowed_client_headers:|"
    r"pathNormalization|pathPrefix|headersToUpstream|includeRequestHeaders|action: CUSTOM|rules:|mtls:|subjectAlt|"
    r"provider:|X-Pdp-(Dec|Sub|Fie|Obl).* \$|auth_request_set .*x_pdp|request_body off|Content-Length|X-Original-.*\$"
)


NOT_MISSED = re.compile(r"add_header|harden\.yaml|nginx\.conf +merge_slashes|DYNAMIC_METADATA|pdp_receipt +\$up")
"""Patches add to what Istio does by itself; without the receipt only the log says less; the rest is for who reads."""


def deletions() -> Iterator[object]:
    for names in ([GRPC[0]], [HTTP[0]], ISTIO, NGINX):
        for name in names:
            lines = text(name).split("\n")
            for at, line in enumerate(lines):
                code = line.split("#")[0]
                if LINES_THAT_MATTER.search(code) and not NOT_MISSED.search(f"{name} {code}"):
                    content = "\n".join([*lines[:at], *lines[at + 1 :]])
                    yield pytest.param(names, name, content, id=f"{name}:{at + 1}")


@pytest.mark.parametrize(("names", "changed", "content"), list(deletions()))
def test_checklist_32_a_line_that_is_missing_from_a_shipped_file_is_found(
    names: list[str], changed: str, content: str
) -> None:
    assert found(files(names) | {changed: content})
