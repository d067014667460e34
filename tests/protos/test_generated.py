from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bentos import protos

FOLDER = Path(protos.__file__).parent / "_generated"
SCRIPT = Path(protos.__file__).parents[2] / "scripts" / "generate_protos.sh"


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".py", ".pyi")
    }


def test_generated_code_is_what_the_protos_give(tmp_path: Path) -> None:
    folder = tmp_path / "generated"
    subprocess.run([SCRIPT, sys.executable, folder], check=True)
    generated = _files(folder)
    assert "fraud/v1/fraud_pb2.py" in generated
    assert generated == _files(FOLDER)
