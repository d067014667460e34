from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: What training needs and a scoring worker must not carry: time to start, memory, and attack surface.
HEAVY = ("pandas", "pyarrow", "scipy", "sklearn", "imblearn", "torch", "skorch", "mlflow", "shap", "onnx", "matplotlib")


def test_the_service_imports_nothing_of_training() -> None:
    script = f"import sys, bentos.fraud.service; print([name for name in {HEAVY} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_core_is_all_that_the_transport_free_part_needs() -> None:
    script = "import sys, bentos.fraud.application; print([n for n in ('bentoml', 'starlette') if n in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
