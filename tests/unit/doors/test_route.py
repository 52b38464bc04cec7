"""No route, no access: what an HTTP request maps to, and everything that it does not map to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors.route import NoRoute
from pdp.language.core import QueryParameter, Target
from tests.unit.doors.shop import route, table

TABLE = table(
    route("GET HEAD", "/fhir/Record/{record}"),
    route("DELETE", "/fhir/Record/{record}", "erase share"),
    route("GET", "/fhir/Record/summary", "search", Target("Record", literal="summary")),
    route(
        "GET",
        "/fhir/Patient/{patient}/Record/{record}",
        claims=(("patient", Target("Patient", parameter="patient")),),
    ),
    route(
        "GET",
        "/fhir/Patient",
        "search",
        Target("Patient", literal="all"),
        query=(
            QueryParameter("name", True, frozenset({"/name"})),
            QueryParameter("_sort", True, frozenset({"/birth"})),
            QueryParameter("page", False, frozenset()),
        ),
    ),
    route("GET", "/", "search", Target("Record", literal="root")),
    route("GET", "/x/{a}/b"),
    route("GET", "/x/lit/c", resource=Target("Record", literal="lit")),
)


def refused(method: str, path: bytes, query: bytes = b"") -> str:
    with pytest.raises(NoRoute) as error:
        TABLE.match(method, path, query)
    return error.value.kind


def test_a_request_maps_to_wire_names() -> None:
    match = TABLE.match("DELETE", b"/fhir/Record/r1")
    assert match.actions == ("delete", "share")
    assert (match.resource_type, match.resource_id) == ("record", "r1")
    assert match.claims is None


def test_the_path_claims_a_relation_and_proves_nothing() -> None:
    match = TABLE.match("GET", b"/fhir/Patient/p1/Record/r1")
    assert (match.resource_id, match.claims) == ("r1", {"patient": "p1"})


def test_semantics_07_a_literal_beats_a_parameter_at_the_first_difference() -> None:
    assert TABLE.match("GET", b"/fhir/Record/summary").actions == ("search",)
    assert TABLE.match("GET", b"/fhir/Record/summary2").resource_id == "summary2"


def test_semantics_07_the_literal_wins_for_every_method() -> None:
    assert refused("DELETE", b"/fhir/Record/summary") == "no-route-for-method"


def test_semantics_07_a_literal_that_leads_nowhere_does_not_hide_the_parameter() -> None:
    assert TABLE.match("GET", b"/x/lit/b").resource_id == "lit"
    assert TABLE.match("GET", b"/x/lit/c").resource_id == "lit"


@pytest.mark.parametrize("segment", [b"$everything", b"_search", b"_", b"$", b"%24everything", b"%5Fsearch"])
def test_semantics_07_a_parameter_never_matches_an_operation(segment: bytes) -> None:
    assert refused("GET", b"/fhir/Record/" + segment) == "no-route"


@pytest.mark.parametrize(
    ("method", "path", "query", "kind"),
    [
        ("GET", b"/fhir/record/r1", b"", "no-route"),
        ("GET", b"/fhir/Record", b"", "no-route"),
        ("GET", b"/fhir/Record/r1/x", b"", "no-route"),
        ("get", b"/fhir/Record/r1", b"", "no-route-for-method"),
        ("POST", b"/fhir/Record/r1", b"", "no-route-for-method"),
        ("OPTIONS", b"/fhir/Record/r1", b"", "no-route-for-method"),
        ("GET", b"/fhir/Record/r1", b"a=1", "no-route-for-query"),
        ("GET", b"/fhir/Patient", b"", "no-route-for-query"),
        ("GET", b"/fhir/Patient", b"page=1&name:exact=x", "no-route-for-query"),
        ("GET", b"/fhir/Patient", b"page=1&Name=x", "no-route-for-query"),
        ("GET", b"/fhir/Patient", b"page=1&page=2", "duplicate-parameter"),
        ("GET", b"/fhir/Record/r1/", b"", "empty-segment"),
        ("GET", b"/fhir/Record/%2e%2e", b"", "dot-segment"),
        ("GET", b"/fhir/Record/a%2Fb", b"", "encoded-delimiter"),
        ("GET", b"/fhir/Record/r1;v=2", b"", "matrix-parameter"),
    ],
)
def test_what_is_not_declared_is_no_route(method: str, path: bytes, query: bytes, kind: str) -> None:
    assert refused(method, path, query) == kind


def test_query_parameters_say_which_fields_are_searched() -> None:
    match = TABLE.match("GET", b"/fhir/Patient", b"page=1&name=ann")
    assert match.searched_fields == {"/name"}
    both = TABLE.match("GET", b"/fhir/Patient", b"_sort=birth&page=1&name=ann")
    assert both.searched_fields == {"/name", "/birth"}


def test_the_root_is_a_path_like_any_other() -> None:
    assert TABLE.match("GET", b"/").resource_id == "root"


def test_two_routes_that_fit_are_none() -> None:
    doubled = table(route("GET", "/a/{x}"), route("GET", "/a/{y}"))
    with pytest.raises(NoRoute):
        doubled.match("GET", b"/a/1")


def test_an_empty_table_lets_nothing_through() -> None:
    with pytest.raises(NoRoute):
        table().match("GET", b"/")


@given(st.text(max_size=10), st.binary(max_size=80), st.binary(max_size=40))
def test_any_request_is_a_match_or_no_route(method: str, path: bytes, query: bytes) -> None:
    try:
        match = TABLE.match(method, b"/fhir/" + path, query)
    except NoRoute:
        return
    assert match.actions
