"""One trained method of a model: where it lies, and what its card says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limbeck.inference.predictor import checkpoint_folder
from limbeck.methods import find
from limbeck.methods.saved import Card, load_card


@dataclass(frozen=True)
class Member:
    """A trained method that has not been read into memory yet.

    Attributes:
        name: unlike that of any other member.
        folder: its checkpoint.
        card: what the checkpoint says of itself; its files are verified.
    """

    name: str
    folder: Path
    card: Card

    @property
    def generalist(self) -> bool:
        """Whether one network takes whatever is there."""
        return find(self.card.method).generalist

    def identity(self) -> dict[str, object]:
        """What decides its scores."""
        return {
            "name": self.name,
            "method": self.card.method,
            "experiment": self.card.origin.get("experiment"),
            "step": self.card.step,
            "weights_sha256": next(
                (digest for name, digest in self.card.files.items() if name.startswith("weights-")), None
            ),
        }


def name_of(card: Card) -> str:
    """What a run of `limbeck train` is called, of its checkpoint's card: it does not depend on where the run lies."""
    origin = card.origin
    subset = str(card.subsets[0]) if len(card.subsets) == 1 else "any"
    parts = [card.method, subset]
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
    return Member(name_of(card), found, card)
