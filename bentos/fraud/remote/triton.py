"""The artifact's model as a Triton model repository: ``NAME/config.pbtxt`` and ``NAME/VERSION/model.onnx``.

The configuration's fields are those of ``inference.ModelConfig``, model_config.proto of
https://github.com/triton-inference-server/common; what they do is in the server's model_configuration.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import onnxruntime as ort

from bentos.core.artifact import Artifact
from bentos.core.errors import ConfigError

__all__ = ["model_config", "version_number", "write_repository"]

_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NUMBER: Final = re.compile(r"[1-9]\d{0,17}")
#: onnxruntime's words for what an artifact's tensors may be, and Triton's.
_TYPES: Final = {"tensor(float)": "TYPE_FP32", "tensor(double)": "TYPE_FP64"}


def version_number(version: str) -> int:
    """Triton's number of a model version: the version itself when it is a whole number, else 1."""
    return int(version) if _NUMBER.fullmatch(version) else 1


def write_repository(artifact: Artifact, folder: Path, *, max_batch_size: int, queue_delay_microseconds: int) -> Path:
    """Write the model below a repository's folder, beside others that are there.

    Parameters
    ----------
    artifact
        Verified.
    folder
        The repository; made when it is not there.
    max_batch_size, queue_delay_microseconds
        See :func:`model_config`.

    Returns
    -------
    Path
        Folder of the model.

    Raises
    ------
    ConfigError
        When the model's name cannot be a folder's, or this version is there with another model.
    """
    name, version = artifact.card.name, version_number(artifact.card.version)
    if not _FOLDER.fullmatch(name):
        raise ConfigError(
            f"the model's name {name!r} cannot name a folder, which Triton asks for: up to 128 letters, digits, dots,"
            " dashes and underscores; register the model under such a name"
        )
    place = folder / name
    file = place / str(version) / "model.onnx"
    if file.exists() and file.read_bytes() != artifact.onnx:
        raise ConfigError(f"{file} is another model of the same version; remove {file.parent}, or write elsewhere")
    config = model_config(artifact, max_batch_size, queue_delay_microseconds)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(artifact.onnx)
        (place / "config.pbtxt").write_text(config)
    except OSError as error:
        raise ConfigError(f"the model repository {folder} cannot be written: {error}") from error
    return place


def model_config(artifact: Artifact, max_batch_size: int, queue_delay_microseconds: int) -> str:
    """``config.pbtxt`` of the artifact's model.

    Parameters
    ----------
    artifact
        Whose model it is.
    max_batch_size
        Rows of a request, and rows that Triton scores together, at most.
    queue_delay_microseconds
        How long Triton lets a request wait for others to be scored with. The service sends batches already.
    """
    session = ort.InferenceSession(artifact.onnx, providers=["CPUExecutionProvider"])
    version = version_number(artifact.card.version)
    lines = [
        f"name: {json.dumps(artifact.card.name)}",
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {max_batch_size}",
        *(f"input [ {_tensor(found)} ]" for found in session.get_inputs()),
        *(f"output [ {_tensor(found)} ]" for found in session.get_outputs()),
        # Champion and challenger ask for their own versions of one server.
        "version_policy { all { } }",
        f"dynamic_batching {{ max_queue_delay_microseconds: {queue_delay_microseconds} }}",
        "instance_group [ { kind: KIND_CPU count: 1 } ]",
        _parameter("intra_op_thread_count", "1"),
        _parameter(f"artifact_digest_{version}", artifact.digest),
    ]
    return "\n".join(lines) + "\n"


def _tensor(found: ort.NodeArg) -> str:
    name, datatype = json.dumps(found.name), _TYPES.get(found.type)
    if datatype is None:
        raise ConfigError(f"the model's tensor {found.name!r} is {found.type}, expected {' or '.join(_TYPES)}")
    sizes = [size if isinstance(size, int) else -1 for size in found.shape[1:]]
    if sizes:
        return f"{{ name: {name} data_type: {datatype} dims: {sizes} }}"
    # One number a row: Triton asks for a dimension beside the batch's, which the model does not have.
    return f"{{ name: {name} data_type: {datatype} dims: [ 1 ] reshape {{ shape: [ ] }} }}"


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value)} }} }}'
