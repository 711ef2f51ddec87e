"""A pack in half of the bytes: 16-bit weights that are widened where they are loaded, and say nearly the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from heads import affine, head, make_run
from safetensors.torch import load_file

from limbeck.errors import ModelError
from limbeck.inference.model import Model
from limbeck.inference.packing import pack
from limbeck.methods.saved import load_card, load_method, save


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [make_run(root / "t1", subset="t1"), make_run(root / "any", "dropout")]


@pytest.fixture(scope="module")
def whole(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "whole"
    pack(runs, out)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_half_a_pack_is_half_as_large_and_says_nearly_the_same(runs, whole, tmp_path) -> None:
    pack(runs, tmp_path / "half", half=True)
    sizes = [sum(path.stat().st_size for path in folder.rglob("weights-*")) for folder in (whole, tmp_path / "half")]
    assert sizes[1] < 0.52 * sizes[0]
    scans = {"t1": (head()["t1"], affine())}
    # Not in bf16, which rounds both far more.
    wide, narrow = (Model.load(folder, "cpu", "float32").segment(scans).scores for folder in (whole, tmp_path / "half"))
    assert narrow.dtype == np.float32
    assert 0 < np.abs(wide - narrow).max() < 2e-3
    told = [(folder / "README.md").read_text() for folder in (whole, tmp_path / "half")]
    assert ["16-bit" in card for card in told] == [False, True]


def test_half_a_pack_predicts_with_weights_that_are_wide_again(runs, tmp_path) -> None:
    pack(runs[:1], tmp_path / "half", half=True)
    (member,) = Model.load(tmp_path / "half").members
    stored = load_file(next(member.folder.glob("weights-*")))
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    for name, tensor in load_method(member.folder, member.card).state_dict().items():
        assert tensor.dtype is torch.float32 and torch.equal(tensor, stored[name].float())


def test_the_same_runs_give_the_same_half(runs, tmp_path) -> None:
    for name in ("one", "two"):
        pack(runs, tmp_path / name, name="half", half=True)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_weights_beyond_16_bits_are_refused(tmp_path) -> None:
    run = make_run(tmp_path / "runs" / "large")
    card = load_card(run / "best")
    method = load_method(run / "best", card)
    with torch.no_grad():
        next(method.parameters()).flatten()[0] = 1e5
    save(run / "best", method, card)
    out = tmp_path / "out" / "pack"
    out.parent.mkdir()
    with pytest.raises(ModelError, match="without --half"):
        pack([run], out, half=True)
    assert not list(out.parent.iterdir())
    pack([run], out)
