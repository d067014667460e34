"""Reads a config.pbtxt by Triton's own schema and prints it as JSON.

Run by itself: tritonclient brings descriptors of the package ``inference``, and one process can have one such package.

Usage: python model_config.py CONFIG.PBTXT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

if __name__ == "__main__":
    config = text_format.Parse(Path(sys.argv[1]).read_text(), model_config_pb2.ModelConfig())
    print(json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True)))
