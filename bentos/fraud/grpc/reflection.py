"""grpc.reflection.v1alpha: what the server's messages and services look like, for tools such as grpcurl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.code_pb2 import Code
from grpc_reflection.v1alpha import reflection_pb2

from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import read_message
from bentos.fraud.grpc.methods import Methods, StreamingMethod

__all__ = ["SERVICE", "ReflectionService"]

SERVICE: Final = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
_LIMIT_BYTES: Final = 4096


class ReflectionService:
    """The calls of grpc.reflection.v1alpha.

    Parameters
    ----------
    services
        Names of what is served.
    pool
        Where they and their messages are described.
    """

    def __init__(self, services: Iterable[str], pool: DescriptorPool) -> None:
        self._services = sorted(services)
        self._pool = pool

    def methods(self) -> Methods:
        """The service's methods."""
        return {f"/{SERVICE}/ServerReflectionInfo": StreamingMethod("reflection", self.inform, _LIMIT_BYTES)}

    async def inform(self, call: Call) -> None:
        """Answer every question."""
        async for message in call.messages():
            question = read_message(reflection_pb2.ServerReflectionRequest, message)
            answer = self._answer(question)
            answer.valid_host = question.host
            answer.original_request.CopyFrom(question)
            await call.send(answer.SerializeToString())

    def _answer(self, question: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
        kind = question.WhichOneof("message_request")
        try:
            if kind == "list_services":
                return _listed(self._services)
            if kind == "file_by_filename":
                return _described([self._pool.FindFileByName(question.file_by_filename)])
            if kind == "file_containing_symbol":
                return _described([self._pool.FindFileContainingSymbol(question.file_containing_symbol)])
        except KeyError:
            pass
        # That includes extensions: messages of proto3 have none.
        return _refused("NOT_FOUND", "there is nothing of that name")


def _listed(names: Iterable[str]) -> reflection_pb2.ServerReflectionResponse:
    services = [reflection_pb2.ServiceResponse(name=name) for name in names]
    return reflection_pb2.ServerReflectionResponse(
        list_services_response=reflection_pb2.ListServiceResponse(service=services)
    )


def _described(files: Sequence[FileDescriptor]) -> reflection_pb2.ServerReflectionResponse:
    """The files and all that they import, each once, so that a tool needs no other question."""
    found: dict[str, FileDescriptor] = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file.name not in found:
            found[file.name] = file
            waiting += file.dependencies
    return reflection_pb2.ServerReflectionResponse(
        file_descriptor_response=reflection_pb2.FileDescriptorResponse(
            file_descriptor_proto=[file.serialized_pb for file in found.values()]
        )
    )


def _refused(code: str, message: str) -> reflection_pb2.ServerReflectionResponse:
    return reflection_pb2.ServerReflectionResponse(
        error_response=reflection_pb2.ErrorResponse(error_code=Code.Value(code), error_message=message)
    )
