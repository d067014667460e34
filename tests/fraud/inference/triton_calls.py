"""Calls a server with tritonclient and prints what it got, as JSON.

Run by itself: tritonclient brings descriptors of the package ``inference``, and one process can have one such package.

Usage: python triton_calls.py (http|grpc) HOST:PORT ROWS.npy MODEL VERSION
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


class Caller:
    """Calls of one transport."""

    def __init__(self, transport: str, address: str, rows: Any, model: str, version: str) -> None:
        self.library = importlib.import_module(f"tritonclient.{transport}")
        self.client = self.library.InferenceServerClient(address)
        self.http = transport == "http"
        self.rows = rows
        self.model = model
        self.version = version

    def run(self) -> dict[str, Any]:
        """Every call's result by its name."""
        calls: dict[str, Callable[[], Any]] = {
            "live": self.client.is_server_live,
            "ready": self.client.is_server_ready,
            "model_ready": lambda: self.client.is_model_ready(self.model, self.version),
            "server_metadata": lambda: self.client.get_server_metadata(**self._as_json()),
            "model_metadata": lambda: self.client.get_model_metadata(self.model, **self._as_json()),
            "version_metadata": lambda: self.client.get_model_metadata(self.model, self.version, **self._as_json()),
            "fp32": lambda: self.infer(np.float32),
            "fp64": lambda: self.infer(np.float64),
            "one_row": lambda: self.infer(rows=self.rows[:1]),
            "versioned": lambda: self.infer(model_version=self.version, request_id="request-7"),
            "one_output": lambda: self.infer(outputs=[self.library.InferRequestedOutput("raw_score")]),
            "hints": lambda: self.infer(priority=1, timeout=1000, parameters={"colour": "red"}),
            "unknown_model": lambda: self.infer(model="other"),
            "unknown_version": lambda: self.infer(model_version="999"),
            "unknown_metadata": lambda: self.client.get_model_metadata("other"),
            "unknown_output": lambda: self.infer(outputs=[self.library.InferRequestedOutput("label")]),
            "classification": lambda: self.infer(outputs=[self.library.InferRequestedOutput("score", class_count=2)]),
            "wrong_shape": lambda: self.infer(rows=self.rows[:, :20]),
            "flat_shape": lambda: self.infer(rows=self.rows[0]),
            "no_rows": lambda: self.infer(rows=self.rows[:0]),
            "wrong_datatype": lambda: self.infer(np.int64),
            "nan": lambda: self.infer(rows=np.where(self.rows > 1e9, 0, np.nan)),
            "most_rows": lambda: self.infer(rows=np.tile(self.rows, (50, 1))),
            "too_many_rows": lambda: self.infer(np.float32, rows=np.ones((10_001, 21))),
            "shared_memory": self.shared_memory,
            "repository": self.client.get_model_repository_index,
        }
        if self.http:
            calls["json"] = lambda: self.infer(np.float64, binary=False)
            calls["json_nan"] = lambda: self.infer(np.float64, rows=self.rows * np.nan, binary=False)
            calls["compressed"] = lambda: self.infer(request_compression_algorithm="gzip")
        return {name: self._result(call) for name, call in calls.items()}

    def infer(
        self,
        dtype: Any = np.float32,
        *,
        rows: Any = None,
        model: str | None = None,
        binary: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """Score rows."""
        matrix = (self.rows if rows is None else rows).astype(dtype)
        tensor = self.library.InferInput("features", list(matrix.shape), np_to_triton_dtype(matrix.dtype))
        if self.http:
            tensor.set_data_from_numpy(matrix, binary_data=binary)
            if not binary:
                options["outputs"] = [
                    self.library.InferRequestedOutput(name, binary_data=False) for name in ("score", "raw_score")
                ]
        else:
            tensor.set_data_from_numpy(matrix)
        result = self.client.infer(model or self.model, [tensor], **options)
        response = result.get_response()
        answer = response if isinstance(response, dict) else self._message(response)
        arrays = {item["name"]: result.as_numpy(item["name"]) for item in answer["outputs"]}
        return {
            "id": answer.get("id", ""),
            "model": [answer["model_name"], answer["model_version"]],
            "outputs": {name: array.tolist() for name, array in arrays.items()},
            "dtypes": sorted({str(array.dtype) for array in arrays.values()}),
        }

    def shared_memory(self) -> Any:
        """Say that the tensor lies in the server's memory."""
        tensor = self.library.InferInput("features", [1, 21], "FP32")
        tensor.set_shared_memory("region", 84)
        return self.client.infer(self.model, [tensor]).get_response()

    def _as_json(self) -> dict[str, bool]:
        return {} if self.http else {"as_json": True}

    def _message(self, response: Any) -> dict[str, Any]:
        return {
            "id": response.id,
            "model_name": response.model_name,
            "model_version": response.model_version,
            "outputs": [{"name": output.name} for output in response.outputs],
        }

    def _result(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except InferenceServerException as error:
            return {"error": error.message(), "status": error.status()}


if __name__ == "__main__":
    transport, address, rows, model, version = sys.argv[1:]
    caller = Caller(transport, address, np.load(rows), model, version)
    print(json.dumps(caller.run()))
    caller.client.close()
