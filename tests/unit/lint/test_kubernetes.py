"""The shipped Kubernetes files: what they promise, key by key, and that what is embedded in them is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pdp.config import load
from tests.unit.lint.examples import found, text

CENTRAL, SIDECAR = "deploy/kubernetes/central.yaml", "deploy/kubernetes/sidecar.yaml"
BOTH = [CENTRAL, SIDECAR]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(name)))


def one(name: str, kind: str, called: str = "") -> dict[str, Any]:
    [only] = [each for each in documents(name) if each["kind"] == kind and called in ("", each["metadata"]["name"])]
    return only


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(name, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def chaperone(name: str) -> dict[str, Any]:
    [only] = [each for each in pod(name)["containers"] if each["name"] == "chaperone"]
    return dict(only)


@pytest.mark.parametrize("name", BOTH)
def test_everything_stands_in_a_namespace_that_refuses_privileges(name: str) -> None:
    namespace = one(name, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each for each in documents(name) if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("name", BOTH)
def test_pods_are_locked(name: str) -> None:
    spec = pod(name)
    assert spec["automountServiceAccountToken"] is False
    context = spec["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("name", BOTH)
def test_the_log_and_the_sessions_stay_and_everything_else_is_read_only_or_in_memory(name: str) -> None:
    mounts = {each["mountPath"]: each for each in chaperone(name)["volumeMounts"]}
    volumes = {each["name"]: each for each in pod(name)["volumes"]}
    [claim] = one(name, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert mounts["/var/lib/pdp"]["name"] == claim["metadata"]["name"]
    environment = {each["name"]: each.get("value", "") for each in chaperone(name)["env"]}
    assert environment["PDP_AUDIT_DIR"].startswith("/var/lib/pdp/")
    assert environment["PDP_STATE_DIR"].startswith("/var/lib/pdp/")
    assert volumes[mounts["/tmp"]["name"]]["emptyDir"]["medium"] == "Memory"
    writable = {path for path, each in mounts.items() if not each.get("readOnly")}
    assert writable == {"/var/lib/pdp", "/tmp"}
    assert environment["TMPDIR"] == "/tmp"


@pytest.mark.parametrize("name", BOTH)
def test_policies_are_swapped_whole_and_secrets_are_files(name: str) -> None:
    mounts = {each["mountPath"]: each for each in chaperone(name)["volumeMounts"]}
    assert "subPath" not in mounts["/etc/pdp/policies"]
    volumes = {each["name"]: each for each in pod(name)["volumes"]}
    assert "configMap" in volumes[mounts["/etc/pdp/policies"]["name"]]
    for container in pod(name)["containers"]:
        for each in container.get("env", []):
            source = each.get("valueFrom", {"fieldRef": {}})
            assert source.keys() == {"fieldRef"}, "a secret in the environment is in every dump of it"
    secrets = [each["secret"] for each in volumes.values() if "secret" in each]
    assert all(each["defaultMode"] == 0o440 for each in secrets)


@pytest.mark.parametrize("name", BOTH)
def test_probes_ask_live_and_ready(name: str) -> None:
    container = chaperone(name)
    asked = {
        probe: container[probe]["exec"]["command"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {probe: command[-1] for probe, command in asked.items()} == {
        "startupProbe": "/live",
        "livenessProbe": "/live",
        "readinessProbe": "/ready",
    }
    for command in asked.values():
        compile(command[2], "probe", "exec")


@pytest.mark.parametrize(("name", "ports"), [(CENTRAL, {9191, 8181}), (SIDECAR, {8443})])
def test_only_the_doors_are_open_and_only_names_and_the_provider_are_asked(name: str, ports: set[int]) -> None:
    policy = one(name, "NetworkPolicy")["spec"]
    assert policy["podSelector"] == {}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    [inward] = policy["ingress"]
    assert {each["port"] for each in inward["ports"]} == ports
    assert all("namespaceSelector" in each for each in inward["from"])
    names, provider = policy["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    assert [each["ipBlock"]["cidr"].endswith("/32") for each in provider["to"]] == [True]
    assert [each["port"] for each in provider["ports"]] == [443]


@pytest.mark.parametrize("name", BOTH)
def test_one_stays_while_nodes_are_drained(name: str) -> None:
    budget = one(name, "PodDisruptionBudget")["spec"]
    labels = one(name, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert budget == {"minAvailable": 1, "selector": {"matchLabels": labels}}
    assert one(name, "StatefulSet")["spec"]["replicas"] >= 2


@pytest.mark.parametrize(("name", "called"), [(CENTRAL, "chaperone-settings"), (SIDECAR, "ehr-chaperone")])
def test_the_settings_are_taken(name: str, called: str, tmp_path: Path) -> None:
    """As `pdp serve` reads them, with the files where the pod has them."""
    settings = one(name, "ConfigMap", called)["data"]["pdp.toml"].replace("/run/secrets", str(tmp_path))
    (tmp_path / "pdp.toml").write_text(settings)
    (tmp_path / "pep").mkdir()
    for file in ("ehr", "pep", "default"):
        (tmp_path / "pep" / file).write_text("a-secret-of-the-test")
    (tmp_path / "policies").mkdir()
    environment = {each["name"]: each["value"] for each in chaperone(name)["env"] if each["name"].startswith("PDP_")}
    environment = {key: value.replace("/run/secrets", str(tmp_path)) for key, value in environment.items()}
    environment |= {"PDP_CONFIG": str(tmp_path / "pdp.toml"), "PDP_POLICIES": str(tmp_path / "policies")}
    taken = load(environment, tmp_path)
    assert all(not profile.open for profile in taken.profiles)


def test_checklist_32_the_envoy_of_the_sidecar_is_the_shipped_one_but_for_the_way_to_chaperone() -> None:
    embedded = yaml.safe_load(one(SIDECAR, "ConfigMap", "ehr-envoy")["data"]["envoy.yaml"])
    shipped = yaml.safe_load(text("deploy/envoy/grpc.yaml"))
    ours, theirs = (each["static_resources"]["clusters"][0] for each in (embedded, shipped))
    assert theirs.pop("transport_socket")
    assert (ours.pop("type"), theirs.pop("type")) == ("STATIC", "STRICT_DNS")
    address = ours.pop("load_assignment")["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address == {"address": "127.0.0.1", "port_value": 9191}
    del theirs["load_assignment"]
    assert embedded == shipped


def test_checklist_32_what_is_embedded_in_the_shipped_files_is_judged_and_fine() -> None:
    content = text(SIDECAR)
    assert found({SIDECAR: content}) == []
    opened = content.replace("failure_mode_allow: false", "failure_mode_allow: true")
    [finding] = found({SIDECAR: opened})
    assert finding.code == "envoy-failure-mode-allow"
    assert finding.span.text == "failure_mode_allow: true"
    assert finding.span.source.line(finding.span.source.line_column(finding.span.start)[0]).strip() == finding.span.text


def test_checklist_32_a_configuration_inside_a_quoted_text_is_not_fine() -> None:
    quoted = yaml.safe_dump_all(documents(SIDECAR))
    assert "proxy-not-judged" in {each.code for each in found({SIDECAR: quoted})}


def test_a_cluster_without_anything_that_guards_it_is_not_fine() -> None:
    assert {each.code for each in found({CENTRAL: text(CENTRAL)})} == {"proxy-nothing-recognised"}


@pytest.mark.parametrize("name", BOTH)
def test_each_replica_has_a_log_of_its_own_that_stays(name: str) -> None:
    """One that took its name from the host would be called like that of another cluster, and would be another log."""
    environment = {each["name"]: each for each in chaperone(name)["env"]}
    assert environment["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    given = environment["PDP_AUDIT_ORIGIN"]["value"]
    assert given.endswith("/$(POD_NAMESPACE)/$(POD_NAME)")
    names = [each["name"] for each in chaperone(name)["env"]]
    assert max(names.index("POD_NAME"), names.index("POD_NAMESPACE")) < names.index("PDP_AUDIT_ORIGIN")
    assert pod(name)["securityContext"]["fsGroup"] == 10001
    mounts = {each["name"]: each["mountPath"] for each in chaperone(name)["volumeMounts"]}
    [claim] = one(name, "StatefulSet")["spec"]["volumeClaimTemplates"]
    for each in ("PDP_AUDIT_DIR", "PDP_STATE_DIR"):
        assert environment[each]["value"].startswith(mounts[claim["metadata"]["name"]] + "/")
