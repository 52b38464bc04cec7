"""`pdp routes`: the list, and what one request maps to or why not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pdp.cli import routes
from pdp.doors import path as raw_path

from .conftest import Pdp


def test_the_list(pdp: Pdp) -> None:
    ran = pdp("routes", "clinic")
    assert ran.code == 0
    assert [line.rpartition("  ")[0] for line in ran.out.splitlines()] == [
        'GET "/patients/{patient}" does search on Patient patient query "ssn"? searches /ssn',
        'GET "/patients/{patient}/records/{record}" does read on Record record with patient = Patient patient',
        'GET "/records/{record}" does read on Record record',
        'PUT "/records/{record}" does read, update on Record record',
    ]
    assert len(json.loads(pdp("routes", "clinic", "--output", "json").out)["routes"]) == 4


def test_what_is_listed_is_ward_but_for_its_first_word(pdp: Pdp, tmp_path: Path) -> None:
    policy = """
    entity Ward
    entity User
    entity Note { ward: Ward  author: User }
    action read on Note by User
    """
    route = (
        'GET, HEAD "/w/{w}/u/{u}/{n}" does read on Note n with ward = Ward w, author = User u '
        'query "a"? searches /a, /b/c, "d", "e" searches /e'
    )
    fixed = 'GET "/first" does read on Note "a\\"b"'
    (tmp_path / "a.ward").write_text(f"{policy}\nroute {route}\nroute {fixed}\n")
    listed = [line.rpartition("  ")[0] for line in pdp("routes", tmp_path).out.splitlines()]
    assert listed == [fixed, route]


def test_a_request_that_maps(pdp: Pdp) -> None:
    ran = pdp("routes", "clinic", "GET", "/patients/p1/records/r1")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "read on Record:r1"
    assert "claims       patient = p1" in ran.out


def test_several_actions_are_all_needed(pdp: Pdp) -> None:
    ran = pdp("routes", "clinic", "PUT", "/records/r1")
    assert ran.out.splitlines()[0] == "read and update on Record:r1"
    assert "all of these actions have to be permitted" in ran.out


def test_json_of_a_match(pdp: Pdp) -> None:
    said = json.loads(pdp("routes", "clinic", "GET", "/patients/p1?ssn=1", "--output", "json").out)
    assert said["actions"] == ["search"]
    assert said["resource"] == {"type": "Patient", "id": "p1"}
    assert said["searched_fields"] == ["/ssn"]


@pytest.mark.parametrize(
    ("method", "target", "why"),
    [
        ("GET", "/nothing/here", "no route has this path (no-route)"),
        ("DELETE", "/records/r1", "not this method (no-route-for-method)"),
        ("GET", "/patients/p1?name=x", "not these query parameters (no-route-for-query)"),
        ("GET", "/records//r1", "an empty segment"),
        ("GET", "/records/../r1", "`.` or `..` as a segment"),
        ("GET", "/records/a%2Fb", "(encoded-delimiter)"),
        ("GET", "records/r1", "does not begin with `/`"),
    ],
)
def test_a_request_that_does_not_map_is_told_why(pdp: Pdp, method: str, target: str, why: str) -> None:
    ran = pdp("routes", "clinic", method, target)
    assert ran.code == 1
    assert why in ran.out
    assert json.loads(pdp("routes", "clinic", method, target, "--output", "json").out)["route"] is None


def test_every_word_of_the_doors_is_explained() -> None:
    room = Path(raw_path.__file__).parent
    text = "".join((room / name).read_text() for name in ("path.py", "route.py"))
    assert set(re.findall(r'(?:AmbiguousPath|NoRoute)\("([a-z0-9-]+)"\)', text)) == set(routes._WHY)


def test_a_method_without_a_target_is_usage(pdp: Pdp) -> None:
    assert pdp("routes", "clinic", "GET").code == 2


def test_a_set_without_routes_says_so(pdp: Pdp, tmp_path: Path) -> None:
    (tmp_path / "a.ward").write_text('entity User\naction read on User\npermit read on User as open "All"\n')
    assert "there are no routes" in pdp("routes", tmp_path).out
