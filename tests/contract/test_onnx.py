"""What every method's student gives in torch, it gives in ONNX Runtime, each on its own paper's network."""

from __future__ import annotations

import importlib.util

import pytest
from toy import SIZE, make

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


# GKD's student is that of supervised training, and PKDR's teacher is a student of PKDR with four sequences.
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("gkd", "pkdr_teacher")])
def test_a_student_in_onnx_gives_the_scores_of_torch(name: str) -> None:
    method = make(name, teachers=False, network=PAPERS.get(name, "unet")).eval()
    if name == "rirn":
        # Its relation starts as the identity, which would hide a wrong one.
        method.student.relation.project.weight.data.normal_(0, 0.1)
    side = max(2 * method.settings.stride, SIZE)
    agreement = compare(to_onnx(method, {}), method, (side, side, side))
    assert 0 < agreement.largest_difference <= TOLERANCE
