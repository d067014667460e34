"""One gRPC channel to a server of the Open Inference Protocol. gRPC is imported when one is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.remote.settings import RemoteModelSettings
from bentos.protos._generated.inference.inference_pb2 import (
    DESCRIPTOR,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)

if TYPE_CHECKING:
    import grpc
    import grpc.aio

__all__ = ["Late", "Link", "Unknown"]

_SERVICE: Final = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
#: How long calls that run may take when a channel is given up, beyond their own time.
_GRACE_SECONDS: Final = 1.0


class Late(Unavailable):
    """No answer in time."""


class Unknown(Unavailable):
    """The server has no such model, or is none of the protocol."""


class Link:
    """A channel and the two calls that are made over it. Belongs to the event loop that it is opened in.

    Parameters
    ----------
    settings
        With a URL.

    Raises
    ------
    ConfigError
        When the file of certificates cannot be read.
    """

    def __init__(self, settings: RemoteModelSettings) -> None:
        import grpc
        import grpc.aio

        self._failure: type[Exception] = grpc.RpcError
        self._describe = _describer(grpc)
        scheme, _, location = (settings.model_url or "").partition("://")
        self._timeout = settings.model_timeout_milliseconds / 1000
        key = settings.model_api_key
        self._metadata = (("authorization", f"Bearer {key.get_secret_value()}"),) if key else ()
        options: list[tuple[str, Any]] = [
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.enable_http_proxy", 0),
            # A link that is opened after a failure connects anew instead of sharing what failed.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            # Two minutes, the default, is how long a server that is back would not be noticed.
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        # Resolved by DNS and spread over what it names: a headless service of Kubernetes names every replica.
        target = f"dns:///{location}"
        if scheme == "grpcs":
            self._channel = grpc.aio.secure_channel(target, _credentials(grpc, settings), options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options)
        self._infer: grpc.aio.UnaryUnaryMultiCallable[ModelInferRequest, ModelInferResponse] = (
            self._channel.unary_unary(
                f"/{_SERVICE}/ModelInfer",
                request_serializer=ModelInferRequest.SerializeToString,
                response_deserializer=ModelInferResponse.FromString,
            )
        )
        self._ask: grpc.aio.UnaryUnaryMultiCallable[ModelMetadataRequest, ModelMetadataResponse] = (
            self._channel.unary_unary(
                f"/{_SERVICE}/ModelMetadata",
                request_serializer=ModelMetadataRequest.SerializeToString,
                response_deserializer=ModelMetadataResponse.FromString,
            )
        )

    async def infer(self, request: ModelInferRequest, timeout_seconds: float) -> ModelInferResponse:
        """Score rows.

        Raises
        ------
        Late, Unknown, Unavailable
            With what the server said.
        """
        try:
            return await self._infer(request, timeout=timeout_seconds, metadata=self._metadata)
        except self._failure as error:
            raise self._describe(error) from error

    async def metadata(self, name: str, version: str, timeout_seconds: float) -> ModelMetadataResponse:
        """Versions and tensors of a model; raises as :meth:`infer`."""
        request = ModelMetadataRequest(name=name, version=version)
        try:
            return await self._ask(request, timeout=timeout_seconds, metadata=self._metadata)
        except self._failure as error:
            raise self._describe(error) from error

    async def close(self) -> None:
        """Let calls that run end, and give the channel back."""
        await self._channel.close(self._timeout + _GRACE_SECONDS)


def _describer(library: Any) -> Callable[[Any], Unavailable]:
    codes = library.StatusCode
    unknown = (codes.NOT_FOUND, codes.UNIMPLEMENTED)

    def describe(error: Any) -> Unavailable:
        code = error.code()
        if code is codes.DEADLINE_EXCEEDED:
            return Late("it gave no answer in time")
        text = f"{code.name}: {error.details() or 'no detail was given'}"
        return Unknown(text) if code in unknown else Unavailable(text)

    return describe


def _credentials(library: Any, settings: RemoteModelSettings) -> grpc.ChannelCredentials:
    try:
        roots = None if settings.model_ca_file is None else settings.model_ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"FRAUD_MODEL_CA_FILE cannot be read: {error}") from error
    credentials: grpc.ChannelCredentials = library.ssl_channel_credentials(roots)
    return credentials
