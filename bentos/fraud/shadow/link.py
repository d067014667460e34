"""The one call to a challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.fraud.remote.channel import Peer, describer, open_blocking_channel
from bentos.fraud.shadow.settings import ShadowSettings
from bentos.protos._generated.fraud.v1.shadow_pb2 import DESCRIPTOR, ScoreRequest, ScoreResponse

if TYPE_CHECKING:
    import grpc

__all__ = ["ShadowLink"]

_METHOD: Final = f"/{DESCRIPTOR.services_by_name['ShadowService'].full_name}/Score"


class ShadowLink:
    """A channel to a challenger. Belongs to one thread, but for :meth:`close`.

    Parameters
    ----------
    settings
        With a URL.

    Raises
    ------
    ConfigError
        When the file of certificates cannot be read.
    """

    def __init__(self, settings: ShadowSettings) -> None:
        peer = Peer(
            settings.shadow_url, settings.shadow_api_key, settings.shadow_ca_file, ca_setting="FRAUD_SHADOW_CA_FILE"
        )
        self._failure, self._describe = describer()
        self._timeout = settings.shadow_timeout_milliseconds / 1000
        self._metadata = peer.metadata
        self._channel = open_blocking_channel(peer)
        self._score: grpc.UnaryUnaryMultiCallable[ScoreRequest, ScoreResponse] = self._channel.unary_unary(
            _METHOD,
            request_serializer=ScoreRequest.SerializeToString,
            response_deserializer=ScoreResponse.FromString,
        )

    def score(self, features: bytes, rows: int) -> ScoreResponse:
        """Have rows scored.

        Parameters
        ----------
        features
            float64, little-endian, as the records keep them; sent as float32, which is what models read.
        rows
            How many.

        Raises
        ------
        Unavailable
            Or one of its kinds, with what the challenger said.
        """
        request = ScoreRequest(
            feature_schema=FEATURE_SCHEMA, rows=rows, features=np.frombuffer(features, "<f8").astype("<f4").tobytes()
        )
        try:
            return self._score(request, timeout=self._timeout, metadata=self._metadata)
        except self._failure as error:
            raise self._describe(error) from error

    def close(self) -> None:
        """End a call that runs, and give the channel back."""
        self._channel.close()
