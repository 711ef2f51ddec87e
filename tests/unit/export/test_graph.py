"""The graph takes any batch and size, denies itself what is absent, and tells nothing of the machine it was made on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.anatomy import Subset
from limbeck.batch import View
from limbeck.errors import ModelError
from limbeck.export import agreement, graph
from limbeck.export.agreement import compare
from limbeck.export.graph import to_onnx
from limbeck.export.runtime import session
from limbeck.methods.base import Context, Method, NetworkSettings

onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
for extra in ("onnxruntime", "onnxscript"):
    # Looked for and not imported, since it has to be silenced first.
    if importlib.util.find_spec(extra) is None:
        pytest.skip("the extra [onnx] is not installed", allow_module_level=True)

T1_T2 = Subset.parse("t1+t2")
PATCH = (8, 16, 8)


class Small(Method[NetworkSettings]):
    """One convolution, so that a graph is made in a second."""

    Settings = NetworkSettings

    def __init__(self, subsets: tuple[Subset, ...] = (T1_T2,)) -> None:
        super().__init__(NetworkSettings(), Context(subsets))
        torch.manual_seed(1)
        self.layer = nn.Conv3d(4 if self.generalist else len(subsets[0]), 4, 3, padding=1)
        self.eval()

    def training_step(self, batch: Any, progress: Any) -> Any:
        raise NotImplementedError

    def predict(self, view: View) -> Tensor:
        return self.target.activate(self.layer(view.images if self.generalist else view.only(self.context.subset)))


class General(Small):
    generalist = True


@pytest.fixture(scope="module")
def small() -> bytes:
    return to_onnx(Small(), {"limbeck": "1"})


def run(content: bytes, **fed: Tensor) -> np.ndarray:
    (scores,) = session(content).run(None, {name: tensor.numpy() for name, tensor in fed.items()})
    return scores


@pytest.mark.parametrize("shape", [(1, 8, 8, 8), (5, 8, 16, 24), (2, 32, 8, 16)])
def test_batch_and_sides_are_open(small: bytes, shape: tuple[int, ...]) -> None:
    images = torch.randn(shape[0], 2, *shape[1:])
    view = View.of(torch.zeros(shape[0], 4, *shape[1:]), torch.ones(shape[0], 4, dtype=torch.bool))
    view.images[:, [1, 3]] = images
    with torch.no_grad():
        expected = Small().predict(view).numpy()
    np.testing.assert_allclose(run(small, images=images), expected, atol=1e-6)


def test_axes_have_names_and_the_rest_is_as_told(small: bytes) -> None:
    model = onnx.load_from_string(small)
    onnx.checker.check_model(model, full_check=True)
    taken, given = model.graph.input[0].type.tensor_type, model.graph.output[0].type.tensor_type
    assert [axis.dim_param or axis.dim_value for axis in taken.shape.dim] == ["batch", 2, "depth", "height", "width"]
    assert [axis.dim_param or axis.dim_value for axis in given.shape.dim] == ["batch", 4, "depth", "height", "width"]
    assert [(one.domain, one.version) for one in model.opset_import] == [("", graph.OPSET)]
    assert {note.key: note.value for note in model.metadata_props} == {"limbeck": "1"}


def test_the_same_method_gives_the_same_bytes(small: bytes) -> None:
    assert to_onnx(Small(), {"limbeck": "1"}) == small


def test_no_path_of_this_machine_is_in_it(small: bytes) -> None:
    places = (Path(__file__).parents[3], Path.home(), Path(torch.__file__).parents[1])
    assert not [place for place in places if str(place).encode() in small]
    assert b".py" not in small and b"stack_trace" not in small


def test_a_specialists_own_sequences_go_in_without_a_copy(small: bytes) -> None:
    assert [node.op_type for node in onnx.load_from_string(small).graph.node] == ["Conv", "Softmax"]


def test_a_generalist_denies_itself_what_is_absent() -> None:
    content = to_onnx(General(Subset.every()), {})
    images = torch.randn(2, 4, *PATCH)
    available = torch.tensor([[True, False, True, True], [False, False, True, False]])
    disturbed = torch.where(available[:, :, None, None, None], images, torch.full((), torch.nan))
    scores = run(content, images=images, available=available)
    assert np.array_equal(scores, run(content, images=disturbed, available=available))
    assert not np.array_equal(scores, run(content, images=images, available=torch.ones_like(available)))
    assert compare(content, General(Subset.every()), PATCH).largest_difference < 1e-6


def test_other_weights_are_noticed(small: bytes) -> None:
    method = Small()
    assert compare(small, method, PATCH).shapes[0] == (1, *PATCH)
    with torch.no_grad():
        method.layer.bias[2] += 1e-2
    with pytest.raises(ModelError, match=r"other scores than torch, by 0\.00\d at \[1, 8, 16, 8\]: expected at most"):
        compare(small, method, PATCH)


def test_scores_that_are_no_numbers_are_noticed(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Small, "predict", lambda self, view: torch.full((len(view.images), 4, *PATCH), torch.nan))
    with pytest.raises(ModelError, match="by nan"):
        compare(small, Small(), PATCH)


def test_the_order_of_sequences_counts(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fed t2 before t1, the graph gives something else, so the comparison would tell."""
    inputs = agreement._inputs
    monkeypatch.setattr(
        agreement, "_inputs", lambda *given: (inputs(*given)[0], [inputs(*given)[1][0][:, ::-1].copy()])
    )
    with pytest.raises(ModelError, match="other scores"):
        compare(small, Small(), PATCH)


def test_weights_beyond_what_a_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST_WEIGHT_BYTES", 100)
    with pytest.raises(ModelError, match="expected at most 100, all that an ONNX file holds"):
        to_onnx(Small(), {})


def test_nothing_is_told_while_it_is_made(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    to_onnx(Small(), {})
    assert capfd.readouterr() == ("", "") and not list(recwarn)
