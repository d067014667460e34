"""Errors as statuses of gRPC, by the one table of ``bentos.core.errors``."""

from __future__ import annotations

import logging
from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from bentos.core.errors import InvalidInput, Overloaded
from bentos.fraud.grpc.http2.hpack import literal
from bentos.fraud.http.problems import described

__all__ = ["OK_TRAILERS", "CallStatus", "error_status", "status"]

OK_TRAILERS: Final = literal(b"grpc-status", b"0")
#: What is not to be escaped in grpc-message: printable ASCII without the percent sign.
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
#: Clients take 8 KiB of metadata unless told otherwise; details that are longer would cost them the status as well.
_MAXIMUM_MESSAGE: Final = 1024
_MAXIMUM_DETAILS: Final = 4096
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallStatus:
    """How a call ended.

    Parameters
    ----------
    code
        The name of a status code, such as INVALID_ARGUMENT.
    message
        For people.
    details
        Messages that tell programs more.
    """

    code: str
    message: str
    details: tuple[Message, ...] = ()

    def trailers(self) -> bytes:
        """The block of trailers that says so."""
        number = Code.Value(self.code)
        block = literal(b"grpc-status", b"%d" % number)
        message = quote(self.message[:_MAXIMUM_MESSAGE], safe=_PLAIN)[:_MAXIMUM_MESSAGE]
        block += literal(b"grpc-message", message.encode())
        if self.details:
            full = Status(code=number, message=self.message)
            for detail in self.details:
                full.details.add().Pack(detail)
            encoded = b64encode(full.SerializeToString()).rstrip(b"=")
            if len(encoded) <= _MAXIMUM_DETAILS:
                block += literal(b"grpc-status-details-bin", encoded)
        return block


def status(code: str, message: str) -> CallStatus:
    """The status of a call that gRPC itself forbids."""
    return CallStatus(code, message)


def error_status(error: Exception, request_id: str) -> CallStatus:
    """The status of a call that failed.

    Only errors raised on purpose speak to the caller, unless they map to INTERNAL. The rest is told to the log alone.
    """
    wire, detail, _ = described(error)
    if wire.grpc == "INTERNAL":
        _LOGGER.error("call %s failed", request_id, exc_info=error)
        return CallStatus(wire.grpc, f"{detail} It is {request_id}.")
    details: tuple[Message, ...] = ()
    if isinstance(error, InvalidInput):
        violations = [BadRequest.FieldViolation(field=item.path, description=item.message) for item in error.errors]
        # What fields are wrong stands in no other place that every client shows.
        detail = str(error)
        details = (BadRequest(field_violations=violations),)
    elif isinstance(error, Overloaded):
        details = (RetryInfo(retry_delay=Duration(seconds=error.retry_after_seconds)),)
    return CallStatus(wire.grpc, detail, details)
