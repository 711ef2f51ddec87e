"""One trained method of a model: where it lies, and what its card says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import ModelError
from limbeck.inference.choice import Service
from limbeck.inference.predictor import checkpoint_folder
from limbeck.methods import find
from limbeck.methods.saved import Card, checked_settings, load_card

WEIGHTS = "weights-"


@dataclass(frozen=True)
class Member:
    """A trained method that has not been read into memory yet.

    Attributes:
        name: unlike that of any other member.
        folder: its checkpoint.
        card: what the checkpoint says of itself; its files are verified.
        generalist: whether one network takes whatever is there.
    """

    name: str
    folder: Path
    card: Card
    generalist: bool

    @classmethod
    def of(cls, name: str, folder: Path, card: Card) -> Member:
        """A member of a verified checkpoint.

        Raises:
            ModelError: this version does not have its method, or not as the card says.
        """
        try:
            checked_settings(card)
        except ModelError as error:
            raise ModelError(f"{folder}: {error}") from error
        return cls(name, folder, card, find(card.method).generalist)

    @property
    def service(self) -> Service:
        """What it can do."""
        return Service(self.name, self.card.subsets, self.generalist)

    @property
    def weights(self) -> dict[str, str]:
        """Name -> SHA-256 of the files of weights, co-trained teachers' among them; states of training are not."""
        return {name: digest for name, digest in self.card.files.items() if name.startswith(WEIGHTS)}

    def identity(self) -> dict[str, object]:
        """What decides its scores, and where it comes from."""
        return {
            "name": self.name,
            "method": self.card.method,
            "experiment": self.card.origin.get("experiment"),
            "step": self.card.step,
            "weights_sha256": sorted(self.weights.values()),
        }


def name_of(card: Card) -> str:
    """What a run of `limbeck train` is called, by its checkpoint's card: the same wherever the run lies now."""
    origin = card.origin
    parts = [card.method, str(card.subsets[0]) if len(card.subsets) == 1 else "any"]
    parts += [f"{letter}{origin[key]}" for letter, key in (("f", "fold"), ("s", "seed")) if key in origin]
    if origin.get("experiment"):
        parts.append(str(origin["experiment"])[:8])
    return "-".join(parts)


def member_of_run(folder: Path) -> Member:
    """The member that a run, or a checkpoint folder, is by itself.

    Raises:
        ModelError: the folder is missing, holds no checkpoint, or holds a damaged one.
    """
    found = checkpoint_folder(folder)
    card = load_card(found)
    return Member.of(name_of(card), found, card)
