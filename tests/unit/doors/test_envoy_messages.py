"""The private messages: as the .proto files say, and on the wire as Envoy's own."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from pdp.doors.envoy_messages import CheckRequest, CheckResponse, HealthCheckRequest, HealthCheckResponse
from pdp.doors.proto.descriptors import DESCRIPTORS

ROOT = Path(__file__).parents[3]


def test_the_committed_descriptors_are_what_the_proto_files_give() -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("no grpcio-tools")
    made = runpy.run_path(str(ROOT / "scripts" / "make-proto"))["descriptors"]()
    given, committed = FileDescriptorSet.FromString(made), FileDescriptorSet.FromString(DESCRIPTORS)
    assert [each.name for each in given.file] == [each.name for each in committed.file]
    ours = [each for each in committed.file if not each.name.startswith("google/")]
    assert ours == [each for each in given.file if not each.name.startswith("google/")]
    assert {each.package for each in ours} == {"chaperone.ext_authz.v3", "chaperone.health.v1"}


def test_they_are_in_no_pool_that_others_share() -> None:
    for message in (CheckRequest, CheckResponse, HealthCheckRequest, HealthCheckResponse):
        name = message.DESCRIPTOR.full_name
        assert message.DESCRIPTOR.file.pool is not descriptor_pool.Default()
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindMessageTypeByName(name)


# Numbers of envoy.service.auth.v3 and grpc.health.v1, by hand: (message, path of fields, wire bytes of that path).
WIRE = [
    (CheckRequest, "attributes.request.http.method", b"\x0a\x07\x22\x05\x12\x03\x12\x01x"),
    (CheckRequest, "attributes.request.http.path", b"\x0a\x07\x22\x05\x12\x03\x22\x01x"),
    (CheckRequest, "attributes.request.http.host", b"\x0a\x07\x22\x05\x12\x03\x2a\x01x"),
    (CheckRequest, "attributes.request.http.body", b"\x0a\x07\x22\x05\x12\x03\x5a\x01x"),
    (CheckRequest, "attributes.source.certificate", b"\x0a\x05\x0a\x03\x2a\x01x"),
    (CheckResponse, "denied_response.body", b"\x12\x03\x1a\x01x"),
    (HealthCheckRequest, "service", b"\x0a\x01x"),
]


@pytest.mark.parametrize(("message", "path", "wire"), WIRE)
def test_a_field_is_where_envoy_has_it(message: type, path: str, wire: bytes) -> None:
    found = message.FromString(wire)  # type: ignore[attr-defined]
    for name in path.split("."):
        found = getattr(found, name)
    assert found == "x"


def test_the_numbers_of_an_answer_are_envoys() -> None:
    response = CheckResponse()
    response.status.code = 7
    response.denied_response.status.code = 403
    option = response.denied_response.headers.add()
    option.header.key, option.header.value, option.append_action = "a", "b", 2
    assert response.SerializeToString() == bytes.fromhex(
        "0a0208071211" + "0a03089303" + "120a" + "0a060a0161120162" + "1802"
    )
    response = CheckResponse()
    response.ok_response.headers_to_remove.append("a")
    assert response.SerializeToString() == bytes.fromhex("1a032a0161")
    assert HealthCheckResponse(status=1).SerializeToString() == b"\x08\x01"


def test_checklist_08_an_answer_has_no_field_for_a_query_parameter() -> None:
    """Envoy writes them unescaped into the path. Nothing here sets one, and nothing can."""
    fields = {each.number for each in CheckResponse.DESCRIPTOR.fields_by_name["ok_response"].message_type.fields}
    assert fields == {2, 5, 6}


def test_checklist_06_nothing_here_can_be_a_raw_value_of_an_answer() -> None:
    assert CheckResponse().ok_response.headers.add().header.raw_value == b""


def test_checklist_19_the_principal_is_not_even_parsed() -> None:
    """A DNS name that looks like a SPIFFE identity would be it."""
    assert "principal" not in {
        each.name
        for each in CheckRequest.DESCRIPTOR.fields_by_name["attributes"]
        .message_type.nested_types_by_name["Peer"]
        .fields
    }
