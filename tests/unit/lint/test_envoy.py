"""Envoy's many ways of writing one thing, and the holes that only show when several places are read together."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.unit.lint.examples import found, text

GRPC = text("deploy/envoy/grpc.yaml")
HTTP = text("deploy/envoy/http.yaml")
TYPES = "type.googleapis.com/envoy"
PER_ROUTE = f"{TYPES}.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
ROUTE = "                route: {cluster: ehr, timeout: 30s}"


def codes(content: str, **others: str) -> set[str]:
    return {each.code for each in found({"envoy.yaml": content, **others})}


def changed(old: str, new: str, content: str = GRPC) -> str:
    assert content.count(old) == 1, old
    return content.replace(old, new)


def camel(value: object) -> object:
    """The same message with the names that protobuf's JSON prefers."""
    if isinstance(value, dict):
        return {_hump(key): camel(each) for key, each in value.items()}
    return [camel(each) for each in value] if isinstance(value, list) else value


def _hump(name: str) -> str:
    return name if "." in name else re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


@pytest.mark.parametrize("content", [GRPC, HTTP])
def test_names_in_either_form_and_json_mean_the_same(content: str) -> None:
    tree = camel(yaml.safe_load(content))
    assert codes(json.dumps(tree)) == set()
    assert "envoy-failure-mode-allow" in codes(
        json.dumps(tree).replace('"failureModeAllow": false', '"failureModeAllow": true')
    )


def test_one_field_in_both_forms_is_found() -> None:
    both = "failure_mode_allow: false\n              failureModeAllow: true"
    assert "proxy-name-twice" in codes(changed("failure_mode_allow: false", both))


@pytest.mark.parametrize("wrapper", ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"])
def test_a_wrapped_filter_is_read_through_its_wrapper(wrapper: str) -> None:
    tree = yaml.safe_load(GRPC)
    filters = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    inner = filters[1]["typed_config"]
    url = inner.pop("@type")
    filters[1]["typed_config"] = {"@type": f"type.googleapis.com/{wrapper}", "type_url": url, "value": inner}
    assert codes(json.dumps(tree)) == set()
    inner["failure_mode_allow"] = True
    assert "envoy-failure-mode-allow" in codes(json.dumps(tree))


@pytest.mark.parametrize(
    "override",
    [
        f'{{envoy.filters.http.ext_authz: {{"@type": {PER_ROUTE}, disabled: true}}}}',
        f'{{another-name: {{"@type": {PER_ROUTE}, disabled: true}}}}',
        f'{{envoy.filters.http.ext_authz: {{"@type": {TYPES}.config.route.v3.FilterConfig, disabled: true}}}}',
        f'{{x: {{"@type": {TYPES}.config.route.v3.FilterConfig, config: {{"@type": {PER_ROUTE}, disabled: true}}}}}}',
    ],
)
@pytest.mark.parametrize("place", ["route", "virtual-host", "table", "weighted"])
def test_checklist_32_a_check_that_is_turned_off_anywhere_is_found(override: str, place: str) -> None:
    line = f"typed_per_filter_config: {override}"
    content = {
        "route": lambda: changed(ROUTE, f"{ROUTE}\n                {line}"),
        "virtual-host": lambda: changed(
            "- name: ehr\n              domains", f"- name: ehr\n              {line}\n              domains"
        ),
        "table": lambda: changed("name: all", f"name: all\n            {line}"),
        "weighted": lambda: changed(
            ROUTE, f"                route: {{weighted_clusters: {{clusters: [{{name: ehr, weight: 1, {line}}}]}}}}"
        ),
    }[place]()
    found_here = [each for each in found({"envoy.yaml": content}) if each.code == "envoy-route-unchecked"]
    assert len(found_here) == 1
    assert "served without any check" in found_here[0].message
    assert found_here[0].span.text == "disabled: true"


def test_the_paths_of_an_unchecked_route_are_named() -> None:
    override = f'typed_per_filter_config: {{x: {{"@type": {PER_ROUTE}, disabled: true}}}}'
    content = changed(
        '- match: {prefix: "/"}\n' + ROUTE,
        f'- match: {{path: "/open"}}\n{ROUTE}\n                {override}\n'
        f'              - match: {{prefix: "/"}}\n{ROUTE}',
    )
    [unchecked] = found({"envoy.yaml": content})
    assert "the path /open of ehr.hospital.example" in unchecked.message


def test_a_route_that_asks_somebody_else_is_judged_like_the_filter() -> None:
    settings = "{grpc_service: {timeout: 9s, envoy_grpc: {cluster_name: ehr}}}"
    own = f'{{x: {{"@type": {PER_ROUTE}, check_settings: {settings}}}}}'
    assert {"envoy-timeout", "envoy-no-proof"} <= codes(
        changed(ROUTE, f"{ROUTE}\n                typed_per_filter_config: {own}")
    )


def test_routes_from_a_file_that_is_given_are_judged_and_from_anywhere_else_are_not_fine() -> None:
    at = GRPC.index("          route_config:\n")
    table = GRPC[at : GRPC.index("          http_filters:\n")]
    content = GRPC.replace(table, "          rds: {route_config_name: all, config_source: {path: routes.yaml}}\n")
    assert codes(content) == {"proxy-not-judged"}
    lines = [line[10:] for line in table.split("\n")[1:]]
    routes = f'resources:\n- "@type": {TYPES}.config.route.v3.RouteConfiguration\n' + "\n".join(lines)
    assert codes(content, **{"routes.yaml": routes}) == set()
    assert "envoy-no-default-route" in codes(
        content, **{"routes.yaml": routes.replace('domains: ["*"]', 'domains: ["a"]')}
    )


def test_headers_may_also_be_removed_before_the_route_is_chosen() -> None:
    at = GRPC.index("          - name: envoy.filters.http.header_mutation")
    end = GRPC.index("          - name: envoy.filters.http.ext_authz")
    without = GRPC[:at] + GRPC[end:]
    assert codes(without) == {"envoy-client-headers-kept", "envoy-overrides-kept"}
    removed = ["{remove_on_match: {key_matcher: {prefix: x-pdp-}}}"] + [
        f"{{remove: {name}}}"
        for name in ("x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url")
    ]
    early = (
        "early_header_mutation_extensions: [{name: early, typed_config: {"
        f'"@type": {TYPES}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, '
        f"mutations: [{', '.join(removed)}]}}}}]"
    )
    assert codes(changed("stat_prefix: ehr", f"{early}\n          stat_prefix: ehr", without)) == set()


def test_a_removal_behind_the_check_counts_for_nothing() -> None:
    at = GRPC.index("          - name: envoy.filters.http.header_mutation")
    end = GRPC.index("          - name: envoy.filters.http.ext_authz")
    router = GRPC.index("          - name: envoy.filters.http.router")
    moved = GRPC[:at] + GRPC[end:router] + GRPC[at:end] + GRPC[router:]
    assert {"envoy-client-headers-kept", "envoy-filter-behind-check"} <= codes(moved)


def test_nothing_tells_who_asks_without_a_secret_and_without_a_certificate() -> None:
    at, end = (
        GRPC.index("          tls_certificate_sds_secret_configs:\n          - name: client"),
        GRPC.index("          combined_validation_context:"),
    )
    without = changed("header: x-pdp-secret", "header: authorization", GRPC[:at] + GRPC[end:])
    assert codes(without) == {"envoy-no-proof"}
    said = 'grpc_service:\n                initial_metadata: [{key: X-Pdp-Secret, value: "%FILE_CONTENT(/pep)%"}]'
    assert codes(changed("grpc_service:", said, without)) == set()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8", "localhost"])
def test_on_this_host_chaperone_may_be_asked_without_tls(address: str) -> None:
    at, end = GRPC.rindex("    transport_socket:\n"), GRPC.rindex("    load_assignment:\n      cluster_name: chaperone")
    plain = GRPC[:at] + GRPC[end:]
    assert codes(plain) == {"envoy-chaperone-plaintext"}
    assert codes(changed("address: chaperone.hospital.example", f'address: "{address}"', plain)) == set()


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.example", "127.0.0.1.example"]
)
def test_an_admin_port_on_any_other_address_is_open(address: str) -> None:
    admin = f'{{socket_address: {{address: "{address}", port_value: 9901}}}}'
    assert codes(changed("{pipe: {path: /run/envoy/admin.sock, mode: 384}}", admin)) == {"envoy-admin-open"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("          http_filters:\n", "          http_filters:\n          - {name: x, config_discovery: {}}\n"),
        ("stat_prefix: ehr", "scoped_routes: {name: x}\n          stat_prefix: ehr"),
        ("stat_prefix: ehr", "forward_client_cert_matcher: {}\n          stat_prefix: ehr"),
        ('domains: ["*"]', 'domains: ["*"]\n              matcher: {}'),
        ("name: all", "name: all\n            vhds: {config_source: {}}"),
        ("  listeners:\n", "  listeners:\n  - {name: x, api_listener: {}}\n"),
        ("envoy_grpc: {cluster_name: chaperone}", "google_grpc: {target_uri: chaperone}"),
        ("static_resources:", "dynamic_resources: {lds_config: {ads: {}}}\nstatic_resources:"),
    ],
)
def test_checklist_32_what_comes_from_elsewhere_is_never_fine(old: str, new: str) -> None:
    assert "proxy-not-judged" in codes(changed(old, new))


def test_a_second_listener_without_a_check_is_found() -> None:
    at, end = GRPC.index("  - name: ehr\n    address"), GRPC.index("  clusters:")
    other = GRPC[at:end]
    begin, until = (other.index(f"          - name: envoy.filters.http.{name}") for name in ("ext_authz", "router"))
    assert codes(GRPC[:end] + other[:begin] + other[until:] + GRPC[end:]) == {"envoy-no-check"}


def test_an_upgrade_with_filters_of_its_own_needs_the_check_too() -> None:
    own = (
        "upgrade_configs: [{upgrade_type: websocket, filters: [{name: envoy.filters.http.router, typed_config: "
        f'{{"@type": {TYPES}.extensions.filters.http.router.v3.Router}}}}]}}]\n          stat_prefix: ehr'
    )
    assert codes(changed("stat_prefix: ehr", own)) == {"envoy-no-check"}


def test_checklist_33_a_route_cannot_take_the_end_of_streams_back() -> None:
    endless = "                route: {cluster: ehr, max_stream_duration: {max_stream_duration: 0s}}"
    assert codes(changed(ROUTE, endless)) == {"envoy-endless-stream"}


LUA = f'{{name: x, typed_config: {{"@type": {TYPES}.extensions.filters.http.lua.v3.Lua}}}}'


def test_a_filter_of_the_service_s_cluster_stands_behind_the_check_too() -> None:
    options = (
        "    typed_extension_protocol_options:\n      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
        f'        "@type": {TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions\n        http_filters: [{LUA}]\n'
    )
    assert codes(changed("    connect_timeout: 1s\n", f"    connect_timeout: 1s\n{options}")) == {
        "envoy-filter-behind-check"
    }


@pytest.mark.parametrize(
    "layer", ["static_layer: {envoy.reloadable_features.x: false}", "disk_layer: {symlink_root: /x}", "rtds_layer: {}"]
)
def test_a_runtime_that_changes_envoy_is_not_fine(layer: str) -> None:
    runtime = f"layered_runtime: {{layers: [{{name: x, {layer}}}]}}\nstatic_resources:"
    assert codes(changed("static_resources:", runtime)) == {"proxy-not-judged"}


def test_whoever_speaks_the_proxy_protocol_writes_addresses() -> None:
    filters = (
        f'- {{name: x, typed_config: {{"@type": {TYPES}.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}}}'
    )
    assert codes(changed("    listener_filters:\n", f"    listener_filters:\n    {filters}\n")) == {
        "envoy-trusted-hops"
    }


def test_two_bootstraps_do_not_lend_each_other_their_clusters() -> None:
    nowhere = GRPC.replace("- name: chaperone\n    type: STRICT_DNS", "- name: elsewhere\n    type: STRICT_DNS")
    assert codes(nowhere, **{"other.yaml": HTTP}) == {"envoy-unknown-cluster"}


def test_a_secret_of_sds_that_trusts_everybody_is_found() -> None:
    sds = text("deploy/envoy/sds/clients.yaml")
    assert codes(GRPC, **{"sds.yaml": sds}) == set()
    assert codes(GRPC, **{"sds.yaml": re.sub("trusted_ca: .*", "max_verify_depth: 2", sds)}) == {
        "envoy-certificates-not-verified"
    }


def filtered(kind: str, rest: str = "") -> str:
    package = {"Lua": "lua", "HeaderMutation": "header_mutation", "GcpAuthnFilterConfig": "gcp_authn"}[kind]
    return f'{{name: x, typed_config: {{"@type": {TYPES}.extensions.filters.http.{package}.v3.{kind}{rest}}}}}'


@pytest.mark.parametrize("header", ["authorization", "Cookie", "dpop", "x-forwarded-client-cert"])
def test_checklist_32_credentials_that_everybody_is_lent_are_found(header: str) -> None:
    mutation = f", mutations: {{request_mutations: [{{append: {{header: {{key: {header}, value: x}}}}}}]}}"
    before = "          - name: envoy.filters.http.ext_authz\n"
    lent = changed(before, f"          - {filtered('HeaderMutation', mutation)}\n{before}")
    assert codes(lent) == {"envoy-credentials-lent"}
    assert codes(changed(before, f"          - {filtered('GcpAuthnFilterConfig')}\n{before}")) == {
        "envoy-credentials-lent"
    }
    asked = f"authorization_request: {{headers_to_add: [{{key: {header}, value: x}}]}}\n"
    at = "                authorization_response:"
    assert codes(changed(at, f"                {asked}{at}", HTTP)) == {"envoy-credentials-lent"}


def test_checklist_32_a_filter_of_the_router_or_of_a_cluster_stands_behind_the_check() -> None:
    router = "filters.http.router.v3.Router}"
    assert codes(changed(router, f"{router[:-1]}, upstream_http_filters: [{filtered('Lua')}]}}")) == {
        "envoy-filter-behind-check"
    }
    cluster = "  - name: ehr\n    type: STATIC\n"
    options = (
        "    typed_extension_protocol_options:\n"
        "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
        f'        "@type": {TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions\n'
        f"        http_filters: [{filtered('HeaderMutation')}]\n"
    )
    assert codes(changed(cluster, cluster + options)) == {"envoy-filter-behind-check"}


def test_checklist_32_the_removal_of_headers_has_whatever_name_and_is_turned_off_by_it() -> None:
    off = f'{{strip: {{"@type": {TYPES}.config.route.v3.FilterConfig, disabled: true}}}}'
    named = changed("- name: envoy.filters.http.header_mutation", "- name: strip")
    assert codes(changed(ROUTE, f"{ROUTE}\n                typed_per_filter_config: {off}", named)) == {
        "envoy-client-headers-kept"
    }


SERVICE = "socket_address: {address: 127.0.0.1, port_value: 8080}"


@pytest.mark.parametrize("address", ["192.0.2.8", "ehr.internal", "0.0.0.0"])
def test_a_service_on_another_host_without_tls_is_warned_of(address: str) -> None:
    assert codes(changed(SERVICE, SERVICE.replace("127.0.0.1", address))) == {"envoy-service-plaintext"}


def test_a_service_on_another_host_with_tls_is_fine_and_chaperones_cluster_is_said_once() -> None:
    socket = f'{{name: tls, typed_config: {{"@type": {TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}}}'
    tree = yaml.safe_load(changed(SERVICE, SERVICE.replace("127.0.0.1", "192.0.2.8")))
    tree["static_resources"]["clusters"][1]["transport_socket"] = yaml.safe_load(socket)
    assert "envoy-service-plaintext" not in codes(json.dumps(tree))
    del tree["static_resources"]["clusters"][0]["transport_socket"]
    assert {each for each in codes(json.dumps(tree)) if each.endswith("plaintext")} == {"envoy-chaperone-plaintext"}
