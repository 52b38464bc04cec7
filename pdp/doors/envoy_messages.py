"""The protobuf messages of Envoy's ext_authz v3 and of gRPC's health service, as classes.

They live in a descriptor pool of their own, so that a second copy of Envoy's messages in the same process (xds-protos,
googleapis-common-protos) never clashes with them. They are made from `proto/descriptors.py` when this module is
imported: no file is read, and no generated code asks for one version of the protobuf runtime.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from pdp.doors.proto.descriptors import DESCRIPTORS

__all__ = ["OVERWRITE", "CheckRequest", "CheckResponse", "DecodeError", "HealthCheckRequest", "HealthCheckResponse"]

_POOL: Final = DescriptorPool()
for _file in FileDescriptorSet.FromString(DESCRIPTORS).file:  # Sorted by protoc: what is imported comes first.
    _POOL.Add(_file)


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


CheckRequest: Final = _message("chaperone.ext_authz.v3.CheckRequest")
CheckResponse: Final = _message("chaperone.ext_authz.v3.CheckResponse")
HealthCheckRequest: Final = _message("chaperone.health.v1.HealthCheckRequest")
HealthCheckResponse: Final = _message("chaperone.health.v1.HealthCheckResponse")

OVERWRITE: Final = 2  # HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
