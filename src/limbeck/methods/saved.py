"""A trained method on disk: weights as safetensors, and a JSON card with what prediction needs to make it again.

The card is written last and names its weights by checksum, so it is the commit point: whatever happens before, the
folder still holds the previous generation, card and weights together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import platform
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_bytes

from limbeck.anatomy import Modality, Subset
from limbeck.durable import replacing, write_json
from limbeck.errors import LimbeckError, ModelError, nearest
from limbeck.methods import METHODS, build, fields, find
from limbeck.methods.base import Context, Method, NetworkSettings
from limbeck.methods.tensors import Stored, read_header, read_tensors
from limbeck.normalisation import Normalisation
from limbeck.received import open_regular, read_json, shortened
from limbeck.target import Target
from limbeck.version import __version__

FORMAT = 1
CARD = "checkpoint.json"
PREVIOUS = "previous.json"
# Written last into a run's folder: what lies there is finished.
DONE = "DONE"
LOG = logging.getLogger(__name__)
# A thousandth of this is read in the worst case that was seen.
_MOST_CARD_BYTES = 2**22
_NEEDED = (
    *("format", "method", "settings", "subsets", "target", "channels", "normalisation", "spacing_mm", "patch"),
    *("step", "files", "origin"),
)
_VERSIONS = ("limbeck", "torch", "numpy", "python")
_OTHERS = (*_VERSIONS, "label_scheme", "progress")


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
        if not isinstance(content, dict) or type(content.get("format")) is not int or content["format"] != FORMAT:
            raise ModelError(f"checkpoint format is not {FORMAT}: it was written by another version of limbeck")
        if content.get("channels") != [modality.role for modality in Modality]:
            raise ModelError(
                f"checkpoint has channels {shortened(content.get('channels'))}, expected flair, t1, t1ce, t2"
            )
        try:
            fields.check_names(content, _NEEDED, _OTHERS)
            for name in _VERSIONS:
                fields.text(content, name, default="")
            return cls(
                method=fields.text(content, "method"),
                settings=fields.mapping(content, "settings"),
                subsets=fields.subsets(content["subsets"]),
                target=fields.target(fields.text(content, "target")),
                spacing_mm=fields.spacing_mm(content["spacing_mm"]),
                patch=fields.patch(content["patch"]),
                step=fields.whole(content["step"], "step"),
                files=fields.files(fields.mapping(content, "files")),
                origin=fields.origin(fields.mapping(content, "origin")),
                normalisation=fields.normalisation(fields.text(content, "normalisation")),
                # Cards of earlier versions hold neither.
                label_scheme=fields.text(content, "label_scheme", default=""),
                progress=fields.mapping(content, "progress"),
            )
        except ValueError as error:
            raise ModelError(f"checkpoint card is damaged: {error}") from error


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
        name, digest = write_part(folder, f"{part}-{card.step:06d}", tensors)
        files[name] = digest
    _keep_previous(folder, files)
    write_json(folder / CARD, dataclasses.replace(card, files=files).to_json())
    drop_unnamed(folder)


def load_card(folder: Path, tell: bool = True) -> Card:
    """The newest whole generation's card, its files verified.

    While a run learns, a damaged one is reported and the one before it used; a finished run has no other to give.

    Args:
        folder: holds the generations.
        tell: whether to report it.

    Raises:
        ModelError: there is none, or every one is damaged; the message says how.
    """
    problems: list[str] = []
    for name in (CARD,) if (folder.parent / DONE).is_file() else (CARD, PREVIOUS):
        # A link that leads nowhere is there, too, and is told.
        if not os.path.lexists(folder / name):
            continue
        try:
            card = read_card(folder, name)
        except ModelError as error:
            problems.append(f"{name}: {error}")
            continue
        if tell and name != CARD:
            found = "; ".join(problems) or f"{CARD} is missing"
            LOG.warning("%s: %s: the generation before it is used, of step %d", folder, found, card.step)
        return card
    detail = "; ".join(problems) or f"no {CARD} in it"
    raise ModelError(f"{folder} holds no usable checkpoint: {detail}")


def read_card(folder: Path, name: str = CARD) -> Card:
    """The card of one generation, its files verified.

    Raises:
        ModelError: it is missing or damaged, or one of its files is.
    """
    try:
        card = Card.from_json(read_json(folder / name, _MOST_CARD_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"it cannot be read ({reason}): expected a card of limbeck train") from error
    for file, digest in card.files.items():
        _verify(folder / file, digest)
    return card


def load_method(folder: Path, card: Card, teachers: dict[str, Method[Any]] | None = None) -> Method[Any]:
    """Make the method of a card again, with its weights.

    Raises:
        ModelError: the method or its settings are unknown here, or the weights do not fit them or are not finite.
    """
    settings = checked_settings(card)
    _check_fit(folder, card, settings)
    method = build(card.method, settings, Context(card.subsets, teachers or {}))
    tensors = load_part(folder, card, "weights")
    method.load_state_dict(tensors)
    if strange := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
        raise ModelError(f"weights in {folder} are not finite (first: {strange[0]}): expected those of limbeck train")
    return method


def checked_settings(card: Card) -> NetworkSettings:
    """The settings of a card's method, if the method can be what the card says; no network is made.

    Raises:
        ModelError: this version does not have the method, its settings, or outputs, sequences and a window like these.
    """
    if card.method not in METHODS:
        raise ModelError(
            f"checkpoint is of method {shortened(card.method)}, which this version does not have: expected a known one"
        )
    kind = find(card.method).Settings
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    if unknown := sorted(card.settings.keys() - set(known)):
        near = nearest(unknown[0], known)
        raise ModelError(f"checkpoint has settings that {card.method} does not know: {shortened(unknown)[1:-1]}{near}")
    try:
        for name, value in card.settings.items():
            fields.check_kind(value, name, hints[name])
        # What a card of an earlier version does not name was as it is by default.
        settings = kind(**card.settings)
    except (ValueError, LimbeckError) as error:
        raise ModelError(f"checkpoint has settings that {card.method} cannot have: {error}") from error
    _check_use(card, settings)
    return settings


def load_part(folder: Path, card: Card, part: str) -> dict[str, torch.Tensor]:
    """The tensors of a generation's `weights` or `state`.

    Raises:
        ModelError: there are none, or their file is damaged.
    """
    path = _file_of(folder, card, part)
    with _damage(path):
        return read_tensors(path)


def _file_of(folder: Path, card: Card, part: str) -> Path:
    for name in card.files:
        if name.startswith(f"{part}-"):
            return folder / name
    raise ModelError(f"{folder} holds no {part}")


@contextmanager
def _damage(named: object) -> Iterator[None]:
    """Tell what is wrong with a file of tensors in this package's words."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{named} is damaged ({reason}): expected safetensors of limbeck train") from error


def _check_use(card: Card, settings: NetworkSettings) -> None:
    """Refuse a card that contradicts its method.

    Raises:
        ModelError: outputs, sequences or window are none that the method has.
    """
    kind = find(card.method)
    if card.target is not kind.target:
        raise ModelError(f"checkpoint of {card.method} has outputs {card.target.value}, which are not the method's")
    if not kind.generalist:
        if len(card.subsets) != 1:
            raise ModelError(f"checkpoint of {card.method} serves {len(card.subsets)} subsets: expected one")
        try:
            kind.check(card.subsets[0])
        except LimbeckError as error:
            raise ModelError(f"checkpoint of {card.method} serves {card.subsets[0]}: {error}") from error
    if any(side % settings.stride for side in card.patch) or max(card.patch) <= settings.stride:
        raise ModelError(
            f"checkpoint of {card.method} has patch {card.patch}: expected multiples of {settings.stride}, "
            f"the stride of {settings.network}, and one above it"
        )


def _check_fit(folder: Path, card: Card, settings: NetworkSettings) -> None:
    """Compare what the settings ask for with what the file announces, before memory is taken for either.

    Raises:
        ModelError: names, shapes or types differ.
    """
    # Without teachers, which are neither saved nor loaded here; tensors of this device have a shape and no values.
    with torch.device("meta"):
        made = build(card.method, settings, Context(card.subsets)).state_dict()
    expected = {name: Stored(tensor.dtype, tuple(tensor.shape)) for name, tensor in made.items()}
    path = _file_of(folder, card, "weights")
    with _damage(path):
        announced = read_header(path)
    where = f"weights in {folder} do not fit {card.method}"
    missing, unknown = sorted(expected.keys() - announced.keys()), sorted(announced.keys() - expected.keys())
    if missing or unknown:
        raise ModelError(f"{where}: missing {shortened(missing[:3])}, unknown {shortened(unknown[:3])}")
    for name, stored in announced.items():
        if stored != expected[name] and stored != expected[name].narrow:
            raise ModelError(f"{where}: {name} is {stored}, expected {expected[name]}")


def write_part(folder: Path, stem: str, tensors: dict[str, torch.Tensor]) -> tuple[str, str]:
    """Write tensors under a name that holds their digest, so that no file which a card names is written again."""
    content = save_bytes(tensors)
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest[:8]}.safetensors"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(content)
    return name, digest


def _verify(path: Path, digest: str) -> None:
    if not os.path.lexists(path):
        raise ModelError(f"{path.name} is missing")
    with _damage(path.name):
        # A file of another size than it announces is told at once, however large it is.
        read_header(path)
        with open_regular(path) as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        raise ModelError(f"{path.name} is damaged (its checksum differs)")


def _keep_previous(folder: Path, coming: dict[str, str]) -> None:
    if _files_in(folder / CARD) in (None, coming):
        return
    try:
        read_card(folder)
    except ModelError:
        # It is damaged: what stands in for it goes on doing so.
        return
    write_json(folder / PREVIOUS, read_json(folder / CARD, _MOST_CARD_BYTES))


def drop_unnamed(folder: Path) -> None:
    """Remove weights and states that no card names: older generations, and what a killed process had in hand."""
    known = [_files_in(folder / card) for card in (CARD, PREVIOUS) if (folder / card).is_file()]
    named = {name for files in known for name in files or ()}
    # Whatever a card that cannot be read may name is left alone.
    if None in known:
        return
    for path in folder.glob("*.safetensors"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _files_in(path: Path) -> dict[str, str] | None:
    """The files that a card names; None if it cannot be read."""
    try:
        return fields.files(fields.mapping(read_json(path, _MOST_CARD_BYTES), "files"))
    except (OSError, ValueError, AttributeError):
        return None
