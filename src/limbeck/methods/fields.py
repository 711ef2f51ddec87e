"""The entries of a card, each of one kind and in its range: `True` is no number, and 1.5 no count."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Mapping
from typing import Any

from limbeck.anatomy import Subset
from limbeck.batch import LONGEST_SIDE, MOST_VOXELS
from limbeck.errors import nearest
from limbeck.normalisation import Normalisation
from limbeck.received import shortened
from limbeck.target import Target

# How cards said z-score when there was nothing else.
_FORMER_Z_SCORE = "z-score over the sequence's own non-zero voxels"
# No separator, and no name that the folder could be left by.
_FILE = re.compile(r"(weights|state)-[A-Za-z0-9._-]{1,100}\.safetensors")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Below, a head has more voxels than memory holds; above, it is one voxel.
_SPACINGS_MM = (0.1, 100.0)
_ORIGIN_TEXTS = ("experiment", "data", "split", "split_file", "augmentation")
_ORIGIN_NUMBERS = ("fold", "folds", "seed")
_MOST_WHOLE = 2**63 - 1
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def check_names(content: Mapping[str, Any], needed: Collection[str], others: Collection[str]) -> None:
    """Refuse entries that nobody knows, and the lack of one that is needed.

    Raises:
        ValueError: the message names them.
    """
    if missing := [name for name in needed if name not in content]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    known = [*needed, *others]
    if unknown := sorted(content.keys() - set(known)):
        near = nearest(unknown[0], known)
        raise ValueError(f"it holds {shortened(unknown)[1:-1]}, which this version does not know{near}")


def text(content: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """An entry that is a text.

    Raises:
        ValueError: it is none.
    """
    value = content.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shortened(value)}: expected a text")
    return value


def whole(value: Any, name: str, most: int = _MOST_WHOLE, least: int = 0) -> int:
    """A whole number in a range.

    Raises:
        ValueError: it is something else.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {shortened(value)}: expected a whole number from {least} to {most}")
    return value


def number(value: Any, name: str, least: float, most: float) -> float:
    """A number in a range.

    Raises:
        ValueError: it is something else.
    """
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError(f"{name} is {shortened(value)}: expected a number from {least:g} to {most:g}")
    return float(value)


def mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An entry that is an object; empty if it is not there.

    Raises:
        ValueError: it is none.
    """
    value = content.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {shortened(value)}: expected an object")
    return dict(value)


def check_kind(value: Any, name: str, hint: Any) -> None:
    """Refuse a setting that is not of the kind that its dataclass says: one of some words, a truth, a number.

    Raises:
        ValueError: it is not.
    """
    if typing.get_origin(hint) is typing.Literal:
        _one_of(value, name, typing.get_args(hint))
    # A card may have dropped the decimal point.
    elif type(value) is not hint and not (hint is float and type(value) is int):
        raise ValueError(f"{name} is {shortened(value)}: expected {_KINDS.get(hint, 'another kind of value')}")


def _one_of(value: Any, name: str, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {shortened(value)}: expected one of {', '.join(known)}")
    return value


def spacing_mm(said: Any) -> float:
    """Edge of the model's voxels.

    Raises:
        ValueError: it is no length that a head is sampled with.
    """
    return number(said, "spacing_mm", *_SPACINGS_MM)


def normalisation(said: str) -> Normalisation:
    """What is done to intensities.

    Raises:
        ValueError: it is not known.
    """
    if said == _FORMER_Z_SCORE:
        return Normalisation.Z_SCORE
    return Normalisation(_one_of(said, "normalisation", [one.value for one in Normalisation]))


def target(said: str) -> Target:
    """What the output channels mean.

    Raises:
        ValueError: it is not known.
    """
    return Target(_one_of(said, "target", [one.value for one in Target]))


def subsets(said: Any) -> tuple[Subset, ...]:
    """The subsets that a method was trained for.

    Raises:
        ValueError: they are no names, or one is unknown or stands twice.
    """
    if not isinstance(said, list) or not said or not all(isinstance(name, str) for name in said):
        raise ValueError(f"subsets is {shortened(said)}: expected a list of names, with at least one")
    known = {str(subset): subset for subset in Subset.every()}
    found = tuple(known[_one_of(name, "a subset", known)] for name in said)
    if len(set(found)) < len(found):
        raise ValueError(f"subsets is {shortened(said)}: expected each once")
    return found


def patch(said: Any) -> tuple[int, int, int]:
    """The window in voxels.

    Raises:
        ValueError: it is none, or larger than any that can be computed.
    """
    if not isinstance(said, list) or len(said) != 3:
        raise ValueError(f"patch is {shortened(said)}: expected three sizes")
    depth, height, width = (whole(side, "a side of patch", LONGEST_SIDE, least=1) for side in said)
    if depth * height * width > MOST_VOXELS:
        raise ValueError(f"patch is {shortened(said)}: expected at most {MOST_VOXELS} voxels")
    return depth, height, width


def files(said: dict[str, Any]) -> dict[str, str]:
    """Names and checksums: the weights, and what only training needs.

    Raises:
        ValueError: others are named, or a name could lead elsewhere.
    """
    for name, digest in said.items():
        if not _FILE.fullmatch(name):
            raise ValueError(f"{shortened(name)} is not a plain file name")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"{name} has the checksum {shortened(digest)}: expected a SHA-256")
    parts = sorted(name.partition("-")[0] for name in said)
    if parts not in (["weights"], ["state", "weights"]):
        raise ValueError(f"it names the files {shortened(sorted(said))}: expected weights, and at most a state")
    return dict(said)


def origin(said: dict[str, Any]) -> dict[str, Any]:
    """Where it comes from; what others read of it is of the kind that they expect.

    Raises:
        ValueError: it is not.
    """
    for name in _ORIGIN_TEXTS:
        text(said, name, default="")
    for name in _ORIGIN_NUMBERS:
        whole(said.get(name, 0), name)
    number(said.get("validation_dice", 0), "validation_dice", -1, 1)
    mapping(said, "teacher_weights")
    return said
