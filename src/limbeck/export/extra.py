"""What the extra `[onnx]` brings; no torch."""

from __future__ import annotations

import importlib.util

from limbeck.errors import UsageError

_NEEDED = ("onnx", "onnxruntime", "onnxscript")


def check_extra() -> None:
    """Refuse to begin without the extra's packages.

    Raises:
        UsageError: one is not installed.
    """
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"limbeck export: needs {name}: pip install 'limbeck[onnx]'")
