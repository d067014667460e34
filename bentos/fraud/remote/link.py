"""The two calls to a server of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bentos.fraud.remote.channel import Late, Peer, Unknown, describer, open_channel
from bentos.fraud.remote.settings import RemoteModelSettings
from bentos.protos._generated.inference.inference_pb2 import (
    DESCRIPTOR,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["Late", "Link", "Unknown"]

_SERVICE: Final = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
#: How long calls that run may take when a channel is given up, beyond their own time.
_GRACE_SECONDS: Final = 1.0


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
        peer = Peer(
            settings.model_url or "", settings.model_api_key, settings.model_ca_file, ca_setting="FRAUD_MODEL_CA_FILE"
        )
        self._failure, self._describe = describer()
        self._timeout = settings.model_timeout_milliseconds / 1000
        self._metadata = peer.metadata
        self._channel = open_channel(peer)
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
