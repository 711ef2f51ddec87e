"""The command: what it says, what it refuses, and what somebody does with what it wrote."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from segmenting import write_model

from limbeck.batch import View
from limbeck.cli import main
from limbeck.export.runtime import session
from limbeck.methods.saved import load_card, load_method

USAGE, MODEL = 2, 4
PRESENT = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
NEEDED = pytest.mark.skipif(not PRESENT, reason="the extra [onnx] is not installed")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Translation takes as long as a graph has nodes.
    monkeypatch.setattr("limbeck.networks.unet.DEPTHS", (1, 1, 1, 1))
    return write_model(tmp_path / "model", "supervised")


@NEEDED
def test_by_its_json_alone_a_program_feeds_the_file_and_gets_the_scores_of_torch(model, tmp_path, capfd) -> None:
    out = tmp_path / "student.onnx"
    assert main(["export", str(model), "-o", str(out)]) == 0
    said = capfd.readouterr()
    assert said.out.startswith(f"{out}: specialist for flair, 1.8 MB, within ") and said.err == ""
    facts = json.loads(out.with_suffix(".json").read_text())
    images = np.random.default_rng(0).normal(size=(1, 1, *facts["window"]["patch"])).astype(np.float32)
    (scores,) = session(out.read_bytes()).run([facts["output"]["name"]], {facts["inputs"][0]["name"]: images})

    method = load_method(model, load_card(model)).eval()
    whole = torch.zeros(1, 4, *images.shape[2:])
    whole[:, 0] = torch.from_numpy(images[:, 0])
    with torch.inference_mode():
        expected = method.predict(View.of(whole, torch.tensor([[True, False, False, False]])))
    assert np.abs(scores - expected.numpy()).max() <= 1e-4
    codes = [facts["output"]["label_codes"][name] for name in facts["output"]["channels"]]
    assert np.array_equal(np.array(codes)[scores.argmax(1)], method.target.decode(expected).numpy())

    assert main(["export", str(model), "-o", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {str(out): facts}


def test_without_the_extra_it_is_named(model, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as where it is not installed
    assert main(["export", str(model), "-o", str(tmp_path / "out")]) == USAGE
    assert capsys.readouterr().err.endswith("needs onnxscript: pip install 'limbeck[onnx]'\n")


@NEEDED
def test_no_model_is_told(tmp_path, capsys) -> None:
    assert main(["export", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out")]) == MODEL
    assert "does not exist: expected a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["folder.onnx", "file/below", "file"])
def test_a_place_that_cannot_be_is_told_at_once(model, tmp_path, capsys, out) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    assert main(["export", str(model), "-o", str(tmp_path / out)]) == USAGE
    assert "expected" in capsys.readouterr().err
