"""The wire and the transports of an address. A transport's library is imported when it is chosen."""

from __future__ import annotations

from pydantic import SecretStr

from bentos.client.address import Address
from bentos.client.exchange import AsyncTransport, Transport, Wire
from bentos.client.options import ClientOptions

__all__ = ["open_async_transport", "open_transport", "wire_of"]


def wire_of(address: Address) -> Wire:
    """The form that calls to this address take."""
    if address.transport == "http":
        from bentos.client.http.wire import HttpWire

        return HttpWire()
    from bentos.client.grpc.wire import GrpcWire

    return GrpcWire()


def open_transport(address: Address, key: SecretStr | None, options: ClientOptions) -> Transport:
    """A blocking transport. Connects when it is used."""
    if address.transport == "http":
        from bentos.client.http.transports import HttpTransport

        return HttpTransport(address, key, options)
    from bentos.client.grpc.transports import GrpcTransport

    return GrpcTransport(address, key, options)


def open_async_transport(address: Address, key: SecretStr | None, options: ClientOptions) -> AsyncTransport:
    """The same for asyncio; belongs to the event loop in which it is opened."""
    if address.transport == "http":
        from bentos.client.http.transports import AsyncHttpTransport

        return AsyncHttpTransport(address, key, options)
    from bentos.client.grpc.transports import AsyncGrpcTransport

    return AsyncGrpcTransport(address, key, options)
