"""ONNX Runtime, which tells its makers nothing of what it is given."""

from __future__ import annotations

import os
from typing import Any

import torch

# Since 1.29 the official Linux builds send events home unless told not to, and keep a number of the machine and a queue
# in the user's cache folder. Read once, when the library is first loaded; the second name is that of 1.29 itself.
_SILENT = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")


def silence() -> None:
    """Turn its telemetry off in this process and those that it starts; to be called before it is imported anywhere."""
    for name in _SILENT:
        os.environ[name] = "1"


def session(content: bytes) -> Any:
    """A file of ONNX ready to run, on the CPU and on as many threads as torch has."""
    silence()
    import onnxruntime  # noqa: PLC0415 - an extra

    # For what else of it a program may have loaded before.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Errors alone; what it warns of is for its own developers.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
