"""ONNX Runtime reports to nobody, and leaves nothing in the user's home."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTRA = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))

RUN = """
import onnx, torch
from onnx import TensorProto, helper
from limbeck.export.runtime import session
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
print(session(model.SerializeToString()).run(None, {"x": torch.tensor([-1.0]).numpy()}))
"""


@pytest.mark.skipif(not EXTRA, reason="the extra [onnx] is not installed")
def test_no_number_of_the_machine_and_no_queue_of_events_is_kept(tmp_path: Path) -> None:
    """They are the first that its telemetry makes; where continuous integration is noticed, it would make none."""
    around = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", RUN], env=around, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "0." in done.stdout
    assert [str(path) for path in tmp_path.rglob("*")] == []
