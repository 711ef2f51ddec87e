"""A trained method on disk: weights as safetensors, and a JSON card with what prediction needs to make it again.

The card is written last and names its weights by checksum, so it is the commit point: whatever happens before, the
folder still holds the previous generation, card and weights together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes

from limbeck.anatomy import Modality, Subset
from limbeck.durable import replacing, sha256, write_json
from limbeck.errors import LimbeckError, ModelError
from limbeck.methods import METHODS, build, find
from limbeck.methods.base import Context, Method
from limbeck.normalisation import Normalisation
from limbeck.target import Target
from limbeck.version import __version__

FORMAT = 1
CARD = "checkpoint.json"
PREVIOUS = "previous.json"
# How cards said z-score when there was nothing else.
_FORMER_Z_SCORE = "z-score over the sequence's own non-zero voxels"
LOG = logging.getLogger(__name__)
_PLAIN_NAME = re.compile(r"[\w.-]+\.safetensors")


@dataclass(frozen=True)
class Card:
    """What a saved method says of itself.

    Attributes:
        method: name in METHODS.
        settings: the method's settings by name.
        subsets: the subsets it was trained for.
        target: what its output channels mean.
        spacing_mm: isotropic voxel size of the space it works in.
        patch: window in voxels that prediction slides over the brain.
        step: training steps behind the weights.
        files: name -> SHA-256 of every file that belongs to this generation.
        origin: where it comes from (experiment, data and teacher hashes); free of paths.
        normalisation: what is done to intensities before it sees them.
        label_scheme: the codes of the segmentations that it learnt from, before they were translated.
        progress: what only training needs to go on, beside the state's tensors.
    """

    method: str
    settings: dict[str, Any]
    subsets: tuple[Subset, ...]
    target: Target
    spacing_mm: float
    patch: tuple[int, int, int]
    step: int = 0
    files: dict[str, str] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    normalisation: Normalisation = Normalisation.Z_SCORE
    label_scheme: str = ""
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights' file; empty before it is written."""
        return next((digest for name, digest in self.files.items() if name.startswith("weights-")), "")

    def to_json(self) -> dict[str, Any]:
        """The card as it is written."""
        return {
            "format": FORMAT,
            "limbeck": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "method": self.method,
            "settings": self.settings,
            "subsets": [str(subset) for subset in self.subsets],
            "target": self.target.value,
            "channels": [modality.role for modality in Modality],
            "normalisation": self.normalisation.value,
            "label_scheme": self.label_scheme,
            "spacing_mm": self.spacing_mm,
            "patch": list(self.patch),
            "step": self.step,
            "files": self.files,
            "origin": self.origin,
            "progress": self.progress,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Card:
        """Read a card back.

        Raises:
            ModelError: a key is missing or of the wrong kind, or the format is not known.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ModelError(f"checkpoint format is not {FORMAT}: it was written by another version of limbeck")
        if content.get("channels") != [modality.role for modality in Modality]:
            raise ModelError(f"checkpoint has channels {content.get('channels')}, expected flair, t1, t1ce, t2")
        try:
            depth, height, width = (int(size) for size in content["patch"])
            return cls(
                method=str(content["method"]),
                settings=dict(content["settings"]),
                subsets=tuple(Subset.parse(text) for text in content["subsets"]),
                target=Target(content["target"]),
                spacing_mm=float(content["spacing_mm"]),
                patch=(depth, height, width),
                step=int(content["step"]),
                files={str(name): str(digest) for name, digest in content["files"].items()},
                origin=dict(content["origin"]),
                normalisation=_normalisation(content["normalisation"]),
                # Cards of earlier versions hold neither.
                label_scheme=str(content.get("label_scheme", "")),
                progress=dict(content.get("progress", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError, LimbeckError) as error:
            raise ModelError(f"checkpoint card is damaged: {type(error).__name__} {error}") from error


def _normalisation(text: str) -> Normalisation:
    return Normalisation.Z_SCORE if text == _FORMER_Z_SCORE else Normalisation(text)


def save(folder: Path, method: Method[Any], card: Card, state: dict[str, torch.Tensor] | None = None) -> None:
    """Add a generation to a folder and drop all but the one before it.

    Args:
        folder: made if missing.
        method: its own parameters and buffers are written; its teachers are not.
        card: `files` is filled in here.
        state: further tensors by name (optimisers, random state) that only training needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"weights": {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}}
    if state is not None:
        parts["state"] = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    files: dict[str, str] = {}
    for part, tensors in parts.items():
        name, digest = _write_part(folder, f"{part}-{card.step:06d}", tensors)
        files[name] = digest
    _keep_previous(folder, files)
    write_json(folder / CARD, dataclasses.replace(card, files=files).to_json())
    _drop_unnamed(folder)


def load_card(folder: Path, tell: bool = True) -> Card:
    """The newest whole generation's card, its files verified; a damaged one is reported, and the one before it used.

    Args:
        folder: holds the generations.
        tell: whether to report it.

    Raises:
        ModelError: there is none, or every one is damaged; the message says how.
    """
    problems: list[str] = []
    for name in (CARD, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            card = Card.from_json(json.loads(path.read_text(encoding="utf-8")))
            _verify(folder, card)
        except (ModelError, OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
            continue
        if tell and name != CARD:
            found = "; ".join(problems) or f"{CARD} is missing"
            LOG.warning("%s: %s: the generation before it is used, of step %d", folder, found, card.step)
        return card
    detail = "; ".join(problems) or f"no {CARD} in it"
    raise ModelError(f"{folder} holds no usable checkpoint: {detail}")


def load_method(folder: Path, card: Card, teachers: dict[str, Method[Any]] | None = None) -> Method[Any]:
    """Make the method of a card again, with its weights.

    Raises:
        ModelError: the method or its settings are unknown here, or the weights do not fit them.
    """
    settings = _settings(card)
    if card.target is not find(card.method).target:
        raise ModelError(f"checkpoint of {card.method} has outputs {card.target.value}, which are not the method's")
    method = build(card.method, settings, Context(card.subsets, teachers or {}))
    tensors = load_part(folder, card, "weights")
    expected = method.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise ModelError(f"weights in {folder} do not fit {card.method}: missing {missing[:3]}, unknown {unknown[:3]}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            found, right = tuple(tensor.shape), tuple(expected[name].shape)
            raise ModelError(f"weights in {folder} do not fit {card.method}: {name} is {found}, expected {right}")
    method.load_state_dict(tensors)
    return method


def load_part(folder: Path, card: Card, part: str) -> dict[str, torch.Tensor]:
    """The tensors of a generation's `weights` or `state`."""
    for name in card.files:
        if name.startswith(f"{part}-"):
            try:
                return load_file(folder / name)
            except (SafetensorError, OSError) as error:
                raise ModelError(f"{folder / name} cannot be read: {error}") from error
    raise ModelError(f"{folder} holds no {part}")


def _write_part(folder: Path, stem: str, tensors: dict[str, torch.Tensor]) -> tuple[str, str]:
    """Write tensors under a name that holds their digest, so that no file which a card names is written again."""
    content = save_bytes(tensors)
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest[:8]}.safetensors"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(content)
    return name, digest


def _settings(card: Card) -> Any:
    if card.method not in METHODS:
        raise ModelError(f"checkpoint is of method {card.method!r}, which this version does not have")
    kind = find(card.method).Settings
    known = {item.name for item in dataclasses.fields(kind)}
    if unknown := sorted(card.settings.keys() - known):
        raise ModelError(f"checkpoint has settings that {card.method} does not know: {', '.join(unknown)}")
    try:
        return kind(**card.settings)
    except (LimbeckError, TypeError) as error:
        raise ModelError(f"checkpoint has settings that {card.method} cannot have: {error}") from error


def _verify(folder: Path, card: Card) -> None:
    if not card.files:
        raise ModelError("it names no files")
    for name, digest in card.files.items():
        path = folder / name
        if not _PLAIN_NAME.fullmatch(name) or path.is_symlink():
            raise ModelError(f"{name!r} is not a plain file name")
        if not path.is_file():
            raise ModelError(f"{name} is missing")
        if sha256(path) != digest:
            raise ModelError(f"{name} is damaged (its checksum differs)")


def _keep_previous(folder: Path, coming: dict[str, str]) -> None:
    try:
        current = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if coming != current["files"]:
            write_json(folder / PREVIOUS, current)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return


def _drop_unnamed(folder: Path) -> None:
    named: set[str] = set()
    for name in (CARD, PREVIOUS):
        path = folder / name
        if path.is_file():
            named |= json.loads(path.read_text(encoding="utf-8"))["files"].keys()
    for path in folder.glob("*.safetensors"):
        if path.name not in named:
            path.unlink(missing_ok=True)
