"""Whatever the text: no other exception than none, and never "fine" about what was not understood."""

from __future__ import annotations

import json
import random
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.diagnostics import render
from pdp.diagnostics.source import Source
from pdp.lint import nginx
from pdp.lint.catalogue import CATALOGUE
from pdp.lint.judge import judge
from tests.unit.lint.examples import text

SHIPPED = [
    "deploy/envoy/grpc.yaml",
    "deploy/envoy/http.yaml",
    "deploy/istio/mesh.yaml",
    "deploy/istio/policy.yaml",
    "deploy/istio/harden.yaml",
    "deploy/nginx/nginx.conf",
]
KINDS = ["", "envoy", "istio", "nginx"]
WORDS = st.sampled_from(
    [
        *("static_resources", "resources", "listeners", "filter_chains", "filters", "http_filters", "typed_config"),
        *("@type", "route_config", "routes", "name", "address", "disabled", "true", "false", "null", "0", "1s"),
        *("meshConfig", "extensionProviders", "envoyExtAuthzGrpc", "apiVersion", "kind", "spec", "data", "metadata"),
        *("rules", "action", "configPatches", "CUSTOM", "ConfigMap", "AuthorizationPolicy", "EnvoyFilter", "ext_authz"),
        "security.istio.io/v1",
        "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "type.googleapis.com/envoy.config.listener.v3.Listener",
    ]
)
TREES = st.recursive(
    WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=40
)


def judged(content: str, kind: str) -> list[str]:
    found = judge([Source("given", content)], kind)
    assert {each.code for each in found} <= CATALOGUE.keys()
    assert all(each.span.end <= len(content) or not content for each in found)
    render.text(found), render.as_json(found), render.as_sarif(found, CATALOGUE)
    return [each.code for each in found]


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.text(max_size=300))
@example(content="")
@example(content="\ufeff")
@example(content="{")
@example(content="&a [*a]")
@example(content="a: &a [*a, *a]\nb: &b [*a, *a]")
@example(content='"\\UFFFFFFFF"')
@example(content="%YAML 9.9\n---\n")
@example(content="!!python/object/apply:os.system [id]")
@example(content="--- !!binary x\n")
@example(content="? [a]\n: b")
@example(content="\0")
@example(content="server {")
@example(content="server { location / { proxy_pass")
@example(content="${")
@example(content="'")
@example(content="listen ${a;")
def test_no_text_is_fine_that_nobody_wrote_as_a_configuration(kind: str, content: str) -> None:
    assert judged(content, kind)


@pytest.mark.parametrize("kind", KINDS)
@given(tree=TREES)
def test_no_tree_of_familiar_words_is_fine_or_breaks_anything(kind: str, tree: object) -> None:
    assert judged(json.dumps(tree), kind)


@pytest.mark.parametrize("name", SHIPPED)
@given(seed=st.integers(0, 1 << 32), changes=st.integers(1, 6))
def test_a_shuffled_configuration_breaks_nothing(name: str, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    lines = text(name).split("\n")
    for _ in range(changes):
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                lines.insert(at, lines[other])
            case 3:
                cut = chance.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:cut] + chance.choice("{}[]:,&*!|>'\"%@`;#$\\ \t\0é") + lines[at][cut:]
            case _:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        lines = lines or [""]
    judged("\n".join(lines), "")


@pytest.mark.parametrize("name", SHIPPED[:5])
def test_a_configuration_cut_off_anywhere_is_found(name: str) -> None:
    whole = text(name)
    complete = judged(whole, "")
    lines = whole.split("\n")
    for count in range(0, len(lines) - 4, 3):
        content = "\n".join(lines[:count])
        assert judged(content, "") or complete == judged(content, "")


# ------------------------------------------------------------------------------------------------------------- bombs


def test_checklist_31_aliases_do_not_multiply_without_end() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
    )
    assert judged(bomb + "static_resources: *a29\n", "") == ["proxy-too-large"]


@pytest.mark.parametrize(
    "content",
    [
        "static_resources: " + "[" * 100_000,
        "static_resources: " + "{a: " * 5_000,
        "- " * 10_000,
        "\n".join(" " * depth + "a:" for depth in range(2_000)),
        "static_resources:\n" + "- a\n" * 400_000,
        "x" * (2 << 20),
    ],
    ids=["brackets", "braces", "dashes", "steps", "items", "long"],
)
def test_checklist_31_depth_and_size_are_bounded(content: str) -> None:
    assert set(judged(content, "envoy")) <= {"proxy-too-large", "proxy-not-yaml"}


@pytest.mark.parametrize(
    "content",
    ["a {" * 10_000, "a;" * 60_000, "a" * (2 << 20), "a {" * 20 + "}" * 20 + "b;" * 60_000],
    ids=["deep", "many", "long", "both"],
)
def test_checklist_31_an_nginx_of_any_size_is_bounded(content: str) -> None:
    assert judged(content, "nginx") == ["nginx-syntax"]


def test_an_include_of_itself_comes_to_an_end() -> None:
    content = "http { include a.conf; server { listen 127.0.0.1:80; return 404; } }"
    found = judge([Source("a.conf", content)])
    assert "proxy-not-judged" in [each.code for each in found]


def test_a_tag_makes_no_object() -> None:
    assert "proxy-not-understood" in judged("static_resources: !!python/name:os.system {}\n", "")


def test_the_place_of_a_finding_is_the_place_in_the_file() -> None:
    content = 'é: "ü"\nstatic_resources:\n  # ñ\n  listeners: []\n  clusters: y\n'
    found = judge([Source("given.yaml", content)], "envoy")
    assert ("given.yaml:5:13", "y") in [(each.span.where, each.span.text) for each in found]


MANY = 100_000


@pytest.mark.parametrize(
    "content",
    ["\n" * MANY, "location " + " " * MANY, "http\n" + "\n" * MANY, "upstream\n" * MANY, "\n ".join(["http"] * MANY)],
)
def test_whether_it_is_nginx_is_told_in_one_reading(content: str) -> None:
    began = process_time()
    nginx.recognised(Source("given", content))
    assert process_time() - began < 1


def test_files_that_include_each_other_come_to_an_end() -> None:
    files = [Source(f"d/{name}.conf", "include *.conf;\ninclude *.conf;\n") for name in "abcdefgh"]
    began = process_time()
    assert "proxy-not-judged" in {each.code for each in judge(files)}
    assert process_time() - began < 10


def test_what_is_embedded_is_read_once_however_often_it_is_named() -> None:
    block = "".join(f"    key{number}: value\n" for number in range(1_000))
    aliases = "".join(f"  b{number}.yaml: *a\n" for number in range(1_000))
    began = process_time()
    assert judged(f"apiVersion: v1\nkind: ConfigMap\ndata:\n  a.yaml: &a |\n{block}{aliases}", "")
    assert process_time() - began < 10
