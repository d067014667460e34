"""gRPC, blocking and asynchronous, one channel for all calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from pydantic import SecretStr

from bentos.client.address import Address
from bentos.client.exchange import Attempt, Failure, Reply
from bentos.client.grpc.wire import failure_of
from bentos.client.options import ClientOptions
from bentos.core.errors import ConfigError

__all__ = ["AsyncGrpcTransport", "GrpcTransport"]

#: 10,000 answers with reasons are about 6 MB, and gRPC would take 4.
_MAXIMUM_MESSAGE_BYTES: Final = 64 * 1024 * 1024


class GrpcTransport:
    """Blocking."""

    def __init__(self, address: Address, key: SecretStr | None, options: ClientOptions) -> None:
        self._address = address.text
        self._key = key
        arguments = _channel_options(options)
        if address.secure:
            self._channel = grpc.secure_channel(_target(address), _credentials(options), arguments)
        else:
            self._channel = grpc.insecure_channel(_target(address), arguments)

    def send(self, attempt: Attempt) -> Reply:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(attempt.target)
        try:
            return call(_message(attempt), timeout=attempt.timeout_seconds, metadata=_metadata(attempt, self._key))
        except grpc.RpcError as error:
            return _lost(self._address, error)

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """For asyncio."""

    def __init__(self, address: Address, key: SecretStr | None, options: ClientOptions) -> None:
        self._address = address.text
        self._key = key
        arguments = _channel_options(options)
        if address.secure:
            self._channel = grpc.aio.secure_channel(_target(address), _credentials(options), arguments)
        else:
            self._channel = grpc.aio.insecure_channel(_target(address), arguments)

    async def send(self, attempt: Attempt) -> Reply:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(attempt.target)
        try:
            return await call(
                _message(attempt), timeout=attempt.timeout_seconds, metadata=_metadata(attempt, self._key)
            )
        except grpc.RpcError as error:
            return _lost(self._address, error)

    async def close(self) -> None:
        await self._channel.close()


def _message(attempt: Attempt) -> bytes:
    # Files go over HTTP only.
    return attempt.payload if isinstance(attempt.payload, bytes) else b""


def _target(address: Address) -> str:
    # Resolved by DNS and spread over what it names: a headless service of Kubernetes names every replica.
    return f"dns:///{address.location}"


def _channel_options(options: ClientOptions) -> list[tuple[str, Any]]:
    return [
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", _MAXIMUM_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAXIMUM_MESSAGE_BYTES),
        # The least pause between attempts to connect is also what one of them may take.
        ("grpc.min_reconnect_backoff_ms", int(options.connect_timeout_seconds * 1000)),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # Two minutes, the default, is how long a client would not notice that its server is back.
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def _credentials(options: ClientOptions) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _read("ca_file", options.ca_file),
        _read("key_file", options.key_file),
        _read("certificate_file", options.certificate_file),
    )


def _read(name: str, path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error}") from error


def _metadata(attempt: Attempt, key: SecretStr | None) -> tuple[tuple[str, str | bytes], ...]:
    authorization = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    return (*attempt.headers.items(), *authorization.items())


def _lost(address: str, error: Any) -> Failure:
    code: grpc.StatusCode = error.code()
    late = code is grpc.StatusCode.DEADLINE_EXCEEDED
    detail = f"{address} gave no answer in time" if late else error.details() or "no detail was given"
    failure = failure_of(code.name, detail, dict(error.trailing_metadata() or ()))
    return replace(failure, cause=error)
