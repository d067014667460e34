"""Runs a module or the tests of the states with a store that was compiled to watch its own memory.

``python -m tests.core.features.sanitized <extension> hostile|tests``; the sanitizers' libraries must be preloaded.
"""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location

import pytest

import bentos.core.features

_NAME = "bentos.core.features._states"


def main() -> int:
    """Put the extension in the place of the usual one, and run."""
    extension, what = sys.argv[1:]
    if _NAME in sys.modules:
        raise RuntimeError("the usual extension has been imported already")
    spec = spec_from_file_location(_NAME, extension, loader=ExtensionFileLoader(_NAME, extension))
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{extension} cannot be imported")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_NAME] = module
    bentos.core.features._states = module  # type: ignore[attr-defined]
    if what == "hostile":
        sys.argv = ["hostile", "150"]
        runpy.run_module("tests.core.features.hostile", run_name="__main__")
        return 0
    return pytest.main(["-q", "-p", "no:cacheprovider", "tests/core/features/test_state.py"])


if __name__ == "__main__":
    sys.exit(main())
