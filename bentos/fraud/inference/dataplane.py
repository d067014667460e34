"""The protocol's calls, free of transport."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bentos.core.answers import ModelVersion
from bentos.core.errors import NotFound
from bentos.fraud.inference.protocol import (
    OUTPUTS,
    InferenceAnswer,
    InferenceRequest,
    ModelMetadata,
    OutputName,
    OutputTensor,
    RequestedOutput,
    model_metadata,
)
from bentos.fraud.inference.tensors import feature_rows, refuse, shown
from bentos.fraud.predictor import Predictor

__all__ = ["DataPlane"]

#: Parameters are hints and ignored, but for those that say where a tensor lies or that another one is to come back.
_SHARED_MEMORY: Final = "shared_memory_region"
_CLASSIFICATION: Final = "classification"


class DataPlane:
    """One worker's model, as the protocol knows it.

    Parameters
    ----------
    predictor
        What scores.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @property
    def model(self) -> ModelVersion:
        """The one that is served."""
        return self.predictor.scorer.model

    def check_model(self, name: str, version: str) -> None:
        """Refuse any model but the one that is served.

        Parameters
        ----------
        name, version
            What is asked for; an empty version means any.

        Raises
        ------
        NotFound
            For another one.
        """
        model = self.model
        if name != model.name:
            raise NotFound(f"there is no model {shown(name)} here, only {model.name!r}")
        if version not in ("", model.version):
            raise NotFound(f"there is no version {shown(version)} of {name!r} here, only {model.version!r}")

    def metadata(self, name: str, version: str) -> ModelMetadata:
        """Versions and tensors of a model.

        Raises
        ------
        NotFound
            For one that is not served.
        """
        self.check_model(name, version)
        return model_metadata(self.model)

    async def infer(self, request: InferenceRequest, deadline: float | None = None) -> InferenceAnswer:
        """Score feature rows. Looks up and records nothing.

        Parameters
        ----------
        request
            To the model that is served: see :meth:`check_model`.
        deadline
            As :class:`Predictor` has it.

        Raises
        ------
        InvalidInput
            With the path of what is wrong.
        Overloaded, Unavailable
            As :class:`Predictor` has them.
        """
        names = _output_names(request)
        _refuse_shared_memory(request.tensor.parameters, f"{request.tensor.path}.parameters")
        raw, score = await self.predictor.infer(feature_rows(request.tensor), deadline)
        values = {"raw_score": raw, "score": score}
        return InferenceAnswer(self.model, tuple(OutputTensor(name, values[name]) for name in names))


def _output_names(request: InferenceRequest) -> list[OutputName]:
    names: list[OutputName] = []
    for index, output in enumerate(request.outputs):
        name = _output_name(output, f"outputs.{index}")
        if name in names:
            raise refuse(f"outputs.{index}.name", f"{name!r} is asked for twice")
        names.append(name)
    return names or list(OUTPUTS)


def _output_name(output: RequestedOutput, path: str) -> OutputName:
    for name in OUTPUTS:
        if output.name == name:
            _refuse_shared_memory(output.parameters, f"{path}.parameters")
            if _CLASSIFICATION in output.parameters:
                raise refuse(f"{path}.parameters.{_CLASSIFICATION}", "is not offered; the outputs are no classes")
            return name
    raise refuse(f"{path}.name", f"must be {' or '.join(map(repr, OUTPUTS))}, got {shown(output.name)}")


def _refuse_shared_memory(parameters: Collection[str], path: str) -> None:
    if _SHARED_MEMORY in parameters:
        raise refuse(f"{path}.{_SHARED_MEMORY}", "is not offered; send and take tensors in the message")
