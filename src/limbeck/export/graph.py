"""A trained method's prediction as an ONNX graph: batch and space are left open, the weights lie within.

A specialist's graph takes its own sequences, `images` `[B,k,D,H,W]` float32 in canonical order. A generalist's takes
all four and `available` `[B,4]` bool, and denies itself what is not available, as a `View` does. Either gives `scores`
`[B,C,D,H,W]` float32 as `Method.predict` does.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.anatomy import Modality, Subset
from limbeck.batch import View
from limbeck.errors import ModelError
from limbeck.export.means import translations
from limbeck.export.runtime import silence
from limbeck.methods.base import Method

# What torch translates to without a second translation, and what runtimes since early 2023 read.
OPSET = 18
IMAGES, AVAILABLE, SCORES = "images", "available", "scores"
# A protobuf message, which a file of ONNX is, ends at 2 GiB; the graph itself takes a small part of the rest.
MOST_WEIGHT_BYTES = 2**31 - 2**26
_SPACE = {2: "depth", 3: "height", 4: "width"}


@dataclass(frozen=True)
class _Own(View):
    """A view of a specialist's sequences that hands them out as they came, without a copy.

    Attributes:
        own: `[B,k,D,H,W]`, what `images` was made of.
        subset: which sequences these are.
    """

    own: Tensor
    subset: Subset

    def only(self, subset: Subset) -> Tensor:
        """The subset's channels alone, `[B,k,D,H,W]` in canonical order."""
        return self.own if subset == self.subset else super().only(subset)


class _Specialist(nn.Module):
    """Scores `[B,C,D,H,W]` of a method for one subset."""

    def __init__(self, method: Method[Any]) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the subset's sequences `[B,k,D,H,W]`."""
        subset = self.method.context.subset
        own = {channel: images[:, index : index + 1] for index, channel in enumerate(subset.channels)}
        absent = torch.zeros_like(images[:, :1])
        whole = torch.cat([own.get(modality, absent) for modality in Modality], dim=1)
        available = torch.tensor([subset.mask()]).expand(images.shape[0], -1)
        return self.method.predict(_Own(whole, available, _no_origin(images), images, subset))


class _Generalist(nn.Module):
    """Scores `[B,C,D,H,W]` of a method for whatever there is."""

    def __init__(self, method: Method[Any]) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor, available: Tensor) -> Tensor:
        """Scores of all sequences `[B,4,D,H,W]`, of which `available` `[B,4]` says what may be looked at."""
        return self.method.predict(View.of(images, available, _no_origin(images)))


def _no_origin(images: Tensor) -> Tensor:
    return images.new_zeros((images.shape[0], 3), dtype=torch.long)


def to_onnx(method: Method[Any], notes: Mapping[str, str]) -> bytes:
    """The file of a method's prediction; the same method gives the same bytes.

    Args:
        method: with its weights, on the CPU; it is put into eval mode.
        notes: what the file says of itself.

    Raises:
        ModelError: the weights are more than a file of ONNX holds, or torch cannot translate the method.
    """
    size = sum(tensor.nbytes for tensor in method.state_dict().values())
    if size > MOST_WEIGHT_BYTES:
        raise ModelError(f"weights of {size} bytes: expected at most {MOST_WEIGHT_BYTES}, all that an ONNX file holds")
    module = _Generalist(method) if method.generalist else _Specialist(method)
    # Should onnxscript load it.
    silence()
    try:
        with torch.no_grad(), _quietly():
            program = torch.onnx.export(
                module.eval(),
                _example(method),
                dynamo=True,
                dynamic_shapes=_open_axes(method),
                input_names=input_names(method),
                output_names=[SCORES],
                opset_version=OPSET,
                custom_translation_table=translations(),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"torch cannot write it as ONNX: {str(error).strip().splitlines()[0]}") from error
    assert program is not None, "torch gives a program where no file is named"
    _forget_its_making(program.model)
    program.model.metadata_props.update(notes)
    return bytes(program.model_proto.SerializeToString())


def input_names(method: Method[Any]) -> list[str]:
    """What the graph takes, in order."""
    return [IMAGES, AVAILABLE] if method.generalist else [IMAGES]


def _example(method: Method[Any]) -> tuple[Tensor, ...]:
    """Inputs to trace with: no two sides alike, and none of 1, so that none is taken for a constant."""
    sides = (factor * method.settings.stride for factor in (2, 3, 4))
    if not method.generalist:
        return (torch.zeros(2, len(method.context.subset), *sides),)
    return torch.zeros(2, len(Modality), *sides), torch.ones(2, len(Modality), dtype=torch.bool)


def _open_axes(method: Method[Any]) -> tuple[dict[int, str], ...]:
    images = {0: "batch", **_SPACE}
    return (images, {0: "batch"}) if method.generalist else (images,)


def _forget_its_making(model: Any) -> None:
    """Take out what torch notes of the source code, among it paths of this machine, and name the outputs' axes."""
    graph = model.graph
    parts = [model, graph, *graph.inputs, *graph.initializers.values()]
    for node in graph.all_nodes():
        parts += [node, *node.outputs]
    for part in parts:
        part.metadata_props.clear()
        part.doc_string = None
    (scores,) = graph.outputs
    channels = scores.shape[1]
    # Torch has formulas here, such as 8*(((depth - 1)//8)) + 8, since sides are multiples of the stride.
    scores.shape = type(scores.shape)(["batch", channels, *_SPACE.values()])


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what torch tells its own developers off the terminal."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
