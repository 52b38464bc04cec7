"""Istio and nginx: holes that show only when several resources, or several levels, are read together."""

from __future__ import annotations

import pytest

from tests.unit.lint.examples import found, text

ISTIO = {
    f"deploy/istio/{name}.yaml": text(f"deploy/istio/{name}.yaml") for name in ("mesh", "policy", "chaperone", "harden")
}
MESH, POLICY, RULE, HARDEN = ISTIO
SECRET = {"chaperone-secret.conf": 'proxy_set_header X-Pdp-Secret "0123456789abcdef";\n'}
NGINX = text("deploy/nginx/nginx.conf")


def istio(**changes: tuple[str, str]) -> set[str]:
    """What is found when the files are changed: `mesh=(old, new)`."""
    files = dict(ISTIO)
    for name, (old, new) in changes.items():
        key = f"deploy/istio/{name}.yaml"
        assert old in files[key], old
        files[key] = files[key].replace(old, new)
    return {each.code for each in found(files)}


def without(*names: str) -> set[str]:
    return {each.code for each in found({name: content for name, content in ISTIO.items() if name not in names})}


def test_checklist_32_each_file_is_needed() -> None:
    assert without(MESH) == {"istio-no-mesh-config"}
    assert without(POLICY) == {"istio-no-policy", "istio-no-strict-mtls"}
    assert without(RULE) == {"istio-no-proof"}
    assert without(HARDEN) == {"istio-client-certificate-header"}


@pytest.mark.parametrize(
    "form",
    [
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: x}\nspec:\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n",
    ],
)
def test_the_mesh_s_settings_are_read_wherever_they_stand(form: str) -> None:
    body = text(MESH)
    body = body[body.index("meshConfig:") :]
    if "IstioOperator" in form:
        written = form + "".join(f"  {line}\n" for line in body.split("\n"))
    else:
        written = form + "".join(f"  {line}\n" for line in body.split("\n")[1:])
    assert found(ISTIO | {MESH: written}) == []
    opened = written.replace("failOpen: false", "failOpen: true")
    assert {each.code for each in found(ISTIO | {MESH: opened})} == {"istio-fail-open"}


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "rules: []",
        "rules: [{from: [{source: {principals: [a]}}]}]",
        "rules: [{to: [{operation: {}}]}]",
        "rules: [{when: []}]",
        'rules: [{to: [{operation: {paths: ["/*"], methods: [GET]}}]}]',
    ],
)
def test_checklist_32_a_policy_with_any_condition_leaves_a_hole(rules: str) -> None:
    assert istio(policy=("rules: [{}]", rules)) == {"istio-policy-hole"}


def test_a_rule_without_conditions_beside_others_covers_everything() -> None:
    assert istio(policy=("rules: [{}]", "rules: [{to: [{operation: {paths: [/a]}}]}, {}]")) == set()


def test_a_policy_that_only_permits_asks_nobody() -> None:
    assert "istio-no-policy" in istio(policy=("action: CUSTOM", "action: ALLOW"))


def test_one_port_without_certificates_is_enough() -> None:
    assert istio(policy=("mtls: {mode: STRICT}", "mtls: {mode: STRICT}\n  portLevelMtls: {8080: {mode: DISABLE}}")) == {
        "istio-permissive-mtls"
    }


def test_one_port_of_chaperone_without_tls_is_enough() -> None:
    weaker = "portLevelSettings: [{port: {number: 8181}, tls: {mode: DISABLE}}]\n    connectionPool:"
    assert {"istio-chaperone-plaintext", "istio-no-proof"} <= istio(chaperone=("connectionPool:", weaker))


def test_a_rule_for_another_host_proves_nothing() -> None:
    assert istio(chaperone=("host: chaperone.chaperone.svc", "host: other.chaperone.svc")) == {"istio-no-proof"}


@pytest.mark.parametrize(
    "value",
    [
        'typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}',
        "route: {typed_per_filter_config: {envoy.filters.http.ext_authz: {disabled: true}}}",
        "disabled: true",
        "normalize_path: false",
    ],
)
def test_checklist_32_a_patch_that_is_not_known_is_not_fine(value: str) -> None:
    patch = (
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: ehr}\n"
        f"spec: {{configPatches: [{{applyTo: HTTP_FILTER, patch: {{operation: MERGE, value: {{{value}}}}}}}]}}\n"
    )
    assert found(ISTIO | {"patch.yaml": patch})


def test_a_plugin_is_never_fine() -> None:
    plugin = (
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x, namespace: ehr}\nspec: {}\n"
    )
    assert {each.code for each in found(ISTIO | {"plugin.yaml": plugin})} == {"proxy-not-judged"}


# -------------------------------------------------------------------------------------------------------------- nginx


def nginx(old: str = "", new: str = "") -> set[str]:
    assert old in NGINX
    return {each.code for each in found(SECRET | {"nginx.conf": NGINX.replace(old, new, 1) if old else NGINX})}


def test_nginx_as_shipped_is_fine_with_its_secret() -> None:
    assert nginx() == set()
    assert {each.code for each in found({"nginx.conf": NGINX})} == {"nginx-no-proof", "proxy-not-judged"}


def test_a_header_of_its_own_costs_a_location_those_of_its_server() -> None:
    nested = "location / {\n location /a { proxy_pass http://service; proxy_set_header X-Any 1; }"
    assert nginx("location / {", nested) == {"nginx-identity-not-set", "nginx-overrides-kept"}
    assert nginx("location / {", "location / {\n location /a { proxy_pass http://service; }") == set()


@pytest.mark.parametrize(
    "location",
    [
        "location /a { auth_request off; root /srv; }",
        "location ~ ^/a { auth_request off; proxy_pass http://service; }",
        "location /a { location /a/b { auth_request off; } }",
        "location @a { auth_request off; proxy_pass http://service; }",
        "location /a { auth_request off; return 200 ok; }",
        "location /a { auth_request off; if ($arg_a) { return 403; } }",
        "location /a { auth_request off; deny all; satisfy any; auth_basic a; }",
        "location /a { auth_request off; deny all; allow 10.0.0.0/8; }",
        "location /a { auth_request off; if ($arg_a) { return 200 $uri; } return 403; }",
    ],
)
def test_checklist_32_a_location_without_a_check_is_found(location: str) -> None:
    assert "nginx-unchecked" in nginx("location / {", f"{location}\n location / {{")


@pytest.mark.parametrize("location", ["location /a { auth_request off; return 404; }", "location /b { deny all; }"])
def test_a_location_that_only_refuses_needs_no_check(location: str) -> None:
    assert nginx("location / {", f"{location}\n location / {{") == set()


def test_a_header_that_is_set_twice_is_judged_twice() -> None:
    twice = "proxy_set_header X-Pdp-Subject $http_x_user; proxy_set_header X-Pdp-Decision"
    assert nginx("proxy_set_header X-Pdp-Decision", twice) == {"nginx-identity-forged"}


def test_what_no_location_takes_is_served_too() -> None:
    content = "server { listen 127.0.0.1:80; location /a { return 404; } }"
    assert {each.code for each in found({"a.conf": content})} == {"nginx-unchecked"}
    assert found({"a.conf": "server { listen 127.0.0.1:80; location / { return 404; } }"}) == []


def test_a_server_that_only_redirects_is_fine() -> None:
    assert found({"a.conf": "server { listen 80; return 301 https://$host$request_uri; }"}) == []


def test_chaperone_over_a_network_needs_tls_that_is_verified() -> None:
    secured = NGINX.replace("proxy_pass http://chaperone/", "proxy_pass https://chaperone/")
    assert {each.code for each in found(SECRET | {"nginx.conf": secured})} == {"nginx-chaperone-not-verified"}
    verified = secured.replace("internal;", "internal; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;", 1)
    assert found(SECRET | {"nginx.conf": verified}) == []


@pytest.mark.parametrize(
    "address", ["10.0.0.1:8181", "chaperone.example:8181", "[2001:db8::1]:8181", "127.0.0.1.example"]
)
def test_one_server_of_an_upstream_off_this_host_is_enough(address: str) -> None:
    assert nginx("server 127.0.0.1:8181;", f"server 127.0.0.1:8181; server {address};") == {"nginx-chaperone-plaintext"}


@pytest.mark.parametrize("address", ["[::1]:8181", "unix:/run/pdp.sock", "localhost:8181", "127.1.2.3"])
def test_this_host_has_many_names(address: str) -> None:
    assert nginx("server 127.0.0.1:8181;", f"server {address};") == set()


@pytest.mark.parametrize(
    "line",
    [
        "js_content main.serve;",
        "content_by_lua 'ngx.say(1)';",
        "access_by_lua_block { if a then { b } end }",
        "perl handler;",
    ],
)
def test_a_script_is_never_fine(line: str) -> None:
    assert "proxy-not-judged" in nginx("location / {", f"location / {{ {line}")


def test_words_are_read_as_nginx_reads_them() -> None:
    tricky = 'auth_request "/_chaperone";'
    assert nginx("auth_request /_chaperone;", tricky) == set()
    assert "nginx-unchecked" in nginx("auth_request /_chaperone;", "# auth_request /_chaperone;")
    assert "nginx-unchecked" in nginx("auth_request /_chaperone;", 'set $a "; auth_request /_chaperone;";')
    assert nginx("location / {", 'set $a "}{;#"; location / {') == set()
    assert "nginx-variable-target" in nginx("proxy_pass http://service;", "proxy_pass http://${arg_a};")


@pytest.mark.parametrize("content", ["server {", "server }", "a b", "a 'b;", "{ }", ";", 'a "b"c;', "a ${b;"])
def test_what_nginx_would_refuse_is_not_read(content: str) -> None:
    assert [each.code for each in found({"a.conf": content})] == ["nginx-syntax"]


def test_other_protocols_are_not_judged() -> None:
    assert "proxy-not-judged" in nginx("http {", "stream { server { listen 1; proxy_pass a:1; } }\nhttp {")


@pytest.mark.parametrize(
    "line", ["ssi on;", "add_before_body /records/1;", "add_after_body /records/1;", "mirror /records/1;"]
)
def test_checklist_32_what_nginx_fetches_by_itself_is_unchecked(line: str) -> None:
    assert nginx("proxy_pass http://service;", f"{line}\n            proxy_pass http://service;") == {
        "nginx-subrequest"
    }
    assert nginx("http {", f"http {{\n    {line}") == {"nginx-subrequest"}


@pytest.mark.parametrize("line", ["proxy_method DELETE;", "proxy_set_body x;"])
def test_checklist_32_a_request_that_is_changed_behind_the_check_is_found(line: str) -> None:
    assert nginx("proxy_pass http://service;", f"{line}\n            proxy_pass http://service;") == {
        "nginx-request-changed"
    }


@pytest.mark.parametrize(
    ("host", "fine"),
    [("$http_host", True), ("$host:$server_port", True), ("ehr.example", True), ("$arg_h", False), ("$http_x", False)],
)
def test_checklist_32_the_host_that_is_passed_on_is_the_one_that_was_checked(host: str, fine: bool) -> None:
    found = nginx("proxy_set_header Host       $host;", f"proxy_set_header Host       {host};")
    assert found == (set() if fine else {"nginx-request-changed"})


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "DPoP"])
def test_checklist_32_credentials_that_everybody_is_lent_are_found_in_nginx(name: str) -> None:
    method = "proxy_set_header X-Original-Method $request_method;"
    assert nginx(method, f"{method} proxy_set_header {name} $http_{name.lower()};") == set()
    assert nginx(method, f'{method} proxy_set_header {name} "Bearer $arg_token";') == {"nginx-credentials-lent"}


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ehr, %s}\nspec: {%s}\n"
ISTIO_OWN = "apiVersion: %s\nkind: %s\nmetadata: {name: a, namespace: ehr}\nspec: %s\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (POD % ('annotations: {traffic.sidecar.istio.io/includeInboundPorts: "8080"}', ""), "istio-port-excluded"),
        (POD % ('annotations: {traffic.sidecar.istio.io/includeInboundPorts: ""}', ""), "istio-port-excluded"),
        (POD % ("annotations: {traffic.sidecar.istio.io/excludeInterfaces: eth1}", ""), "istio-port-excluded"),
        (POD % ('labels: {sidecar.istio.io/inject: "false"}', ""), "istio-no-sidecar"),
        (POD % ("annotations: {sidecar.istio.io/interceptionMode: NONE}", ""), "istio-no-sidecar"),
        (POD % ("labels: {}", "hostNetwork: true"), "istio-no-sidecar"),
        (ISTIO_OWN % ("networking.istio.io/v1", "Sidecar", "{ingress: [{captureMode: NONE}]}"), "istio-no-sidecar"),
        (ISTIO_OWN % ("extensions.istio.io/v1alpha1", "WasmPlugin", "{phase: AUTHN}"), "proxy-not-judged"),
    ],
)
def test_checklist_32_what_leads_past_a_sidecar_is_found(content: str, code: str) -> None:
    assert {each.code for each in found({**ISTIO, "other.yaml": content})} == {code}
