"""What every method's student gives in torch, it gives in ONNX Runtime, each on its own paper's network."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from toy import SIZE, batch, make

from limbeck.export.agreement import TOLERANCE, compare
from limbeck.export.graph import to_onnx
from limbeck.methods import METHODS
from limbeck.networks import NETWORKS, nnunet, unet, vnet

for extra in ("onnx", "onnxruntime", "onnxscript"):
    # Looked for and not imported, since ONNX Runtime has to be silenced first.
    if importlib.util.find_spec(extra) is None:
        pytest.skip("the extra [onnx] is not installed", allow_module_level=True)

# Those without a paper have the common network.
PAPERS = {"pkdr": "vnet", "pkdr_teacher": "vnet", "mtcmkd": "resunet", "choi": "nnunet"}
# One graph to a network, of which PKDR's stands for the VNet here. The UNet's, without more, is a model's that
# `unit/commands/test_export_command.py` exports, an example's, and a part of RIRN's.
PLAIN = ("supervised", "gkd", "pkdr_teacher", "pkdr", "limbeck")


@pytest.fixture(autouse=True)
def _no_part_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translation takes as long as a graph has nodes, and levels and blocks of a network are all alike."""
    monkeypatch.setattr(unet, "DEPTHS", (1, 1, 1, 1))
    monkeypatch.setattr(vnet, "ENCODER_DEPTHS", (1, 2, 1, 1, 1))
    monkeypatch.setattr(vnet, "DECODER_DEPTHS", (1, 1, 1, 1))
    monkeypatch.setattr(nnunet, "LEVELS", 3)
    monkeypatch.setattr(nnunet.NnUNet, "stride", 4)


def test_every_network_is_tried() -> None:
    assert {PAPERS.get(name, "unet") for name in METHODS} == set(NETWORKS)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_student_is_its_network_and_nothing_else(name: str) -> None:
    method = make(name, teachers=False, network=PAPERS.get(name, "unet")).eval()
    (network,) = (getattr(method, part) for part in ("student", "network") if hasattr(method, part))
    assert type(network) is NETWORKS[PAPERS.get(name, "unet")]
    side = max(2 * method.settings.stride, SIZE)
    view = batch(method.context.subsets, size=side).view
    with torch.inference_mode():
        found = method.target.activate(network(view.only(method.context.subset)).logits)
        assert torch.equal(method.predict(view), found)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in PLAIN or name == "pkdr"])
def test_a_student_in_onnx_gives_the_scores_of_torch(name: str) -> None:
    method = make(name, teachers=False, network=PAPERS.get(name, "unet")).eval()
    if name == "rirn":
        # Its relation starts as the identity, which would hide a wrong one.
        method.student.relation.project.weight.data.normal_(0, 0.1)
    side = max(2 * method.settings.stride, SIZE)
    agreement = compare(to_onnx(method, {}), method, (side, side, side))
    assert 0 < agreement.largest_difference <= TOLERANCE
