"""Messages of the Open Inference Protocol, from the descriptor `open_inference.binpb`.

They have a separate descriptor pool: other clients of the protocol register messages with the same names in the default
pool, which accepts each name once.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from service.errors import InvalidInput

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
POOL = DescriptorPool()
for _file in FileDescriptorSet.FromString((Path(__file__).parent / "open_inference.binpb").read_bytes()).file:
    POOL.Add(_file)


def message_class(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse(message: Any, raw: bytes) -> Any:
    """A message of this class from bytes. Raises InvalidInput."""
    try:
        return message.FromString(raw)
    except DecodeError:
        raise InvalidInput(f"the message is not a {message.DESCRIPTOR.name}") from None


InferParameter = message_class("InferParameter")
ModelInferRequest = message_class("ModelInferRequest")
ModelInferResponse = message_class("ModelInferResponse")
ModelMetadataRequest = message_class("ModelMetadataRequest")
ModelMetadataResponse = message_class("ModelMetadataResponse")
ModelReadyRequest = message_class("ModelReadyRequest")
ModelReadyResponse = message_class("ModelReadyResponse")
ServerLiveRequest = message_class("ServerLiveRequest")
ServerLiveResponse = message_class("ServerLiveResponse")
ServerMetadataRequest = message_class("ServerMetadataRequest")
ServerMetadataResponse = message_class("ServerMetadataResponse")
ServerReadyRequest = message_class("ServerReadyRequest")
ServerReadyResponse = message_class("ServerReadyResponse")
