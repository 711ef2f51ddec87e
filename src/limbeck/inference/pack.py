"""A pack on disk: several trained methods in one folder, with a card for programs and one for people.

`model.json` names every member's checkpoint by checksum, and the checkpoint names its weights, so a pack is whole or
refused. Nothing in it leads out of its folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.anatomy import Modality, Subset
from limbeck.errors import ModelError
from limbeck.inference.choice import served
from limbeck.inference.member import Member
from limbeck.inference.model_card import HALF
from limbeck.methods import fields
from limbeck.methods.saved import CARD, read_card
from limbeck.received import read_bytes, read_json, shortened
from limbeck.version import __version__

PACK = "model.json"
MEMBERS = "members"
README = "README.md"
FORMAT = 1
_MOST_BYTES = 2**22
_MOST_MEMBERS = 1000
# No separator, and no name of dots alone.
_PLAIN_FOLDER = re.compile(r"[A-Za-z0-9][\w.+-]{0,199}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True)
class Pack:
    """A pack that was read.

    Attributes:
        name: what its maker called it.
        members: in the order of their names, files verified.
    """

    name: str
    members: tuple[Member, ...]


def plain_name(name: str) -> bool:
    """Whether a pack can be called so: one line of 1 to 200 characters."""
    return bool(_NAME.fullmatch(name)) and bool(name.strip())


def is_pack(folder: Path) -> bool:
    """Whether a folder says that it is a pack."""
    return os.path.lexists(folder / PACK)


def contents(name: str, note: str, members: Sequence[Member], cases: Sequence[int | None]) -> dict[str, Any]:
    """What `model.json` says, but for checksums: facts from the members' cards.

    Args:
        name: of the pack.
        note: its maker's words.
        members: at least one; all share spacing and normalisation.
        cases: for each member how many cases it learnt from; None if that is not known.
    """
    card = members[0].card
    return {
        "format": FORMAT,
        "limbeck": __version__,
        "name": name,
        "note": note,
        "channels": [modality.role for modality in Modality],
        "spacing_mm": card.spacing_mm,
        "normalisation": card.normalisation.value,
        "serves": [str(subset) for subset in served([member.service for member in members])],
        "members": [_entry(member, count) for member, count in zip(members, cases, strict=True)],
    }


def _entry(member: Member, cases: int | None) -> dict[str, Any]:
    card = member.card
    return {
        "name": member.name,
        "method": card.method,
        "kind": "generalist" if member.generalist else "specialist",
        "subsets": [str(subset) for subset in card.subsets],
        "target": card.target.value,
        "patch": list(card.patch),
        "step": card.step,
        "experiment": card.origin.get("experiment"),
        "fold": card.origin.get("fold"),
        "folds": card.origin.get("folds"),
        "seed": card.origin.get("seed"),
        "data": card.origin.get("data"),
        "training_cases": cases,
        "validation_dice": card.origin.get("validation_dice"),
    }


def read_pack(folder: Path) -> Pack:
    """A pack, every file of it verified; no weights are read into memory.

    Raises:
        ModelError: the pack is of an unknown format, damaged, or leads out of its folder.
    """
    content = _json(folder / PACK)
    if type(content.get("format")) is not int or content["format"] != FORMAT:
        said = shortened(content.get("format"))
        raise ModelError(f"{folder / PACK}: format {said}: expected {FORMAT}; update limbeck")
    if content.get("channels") != [modality.role for modality in Modality]:
        said = shortened(content.get("channels"))
        raise ModelError(f"{folder / PACK}: channels {said}: expected flair, t1, t1ce, t2")
    name, entries = content.get("name"), content.get("members")
    if not isinstance(name, str) or not plain_name(name):
        raise ModelError(f"{folder / PACK}: it has no name of at most 200 characters: expected one")
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST_MEMBERS:
        raise ModelError(f"{folder / PACK}: it names no members: expected a list of 1 to {_MOST_MEMBERS}")
    members = sorted((_member(folder, entry) for entry in entries), key=lambda member: member.name)
    if problem := _twice(members) or unlike(members) or _untrue(name, content, members):
        raise ModelError(f"{folder / PACK}: {problem}")
    return Pack(name, tuple(members))


def _twice(members: Sequence[Member]) -> str | None:
    alone = len({member.name for member in members}) == len(members)
    return None if alone else "a member stands in it twice: expected each once"


def _untrue(name: str, content: dict[str, Any], members: Sequence[Member]) -> str | None:
    """What a pack says otherwise than its members' cards, in words."""
    try:
        note = fields.text(content, "note")
        by_name = {entry["name"]: entry for entry in content["members"]}
        cases = [by_name[member.name].get("training_cases") for member in members]
        for count in cases:
            fields.whole(0 if count is None else count, "training_cases")
        made = contents(name, note, members, cases)
        fields.check_names(content, made.keys(), ("weights",))
        if content.get("weights", HALF) != HALF:
            return f"weights is {shortened(content['weights'])}: expected {HALF}, or nothing"
        for right in made["members"]:
            fields.check_names(by_name[right["name"]], [*right, "checkpoint_sha256"], ())
    except ValueError as error:
        return str(error)
    pairs = [("the pack", made, content), *((one["name"], one, by_name[one["name"]]) for one in made["members"])]
    for whom, right, said in pairs:
        for key in right.keys() - {"members", "limbeck"}:
            # As they would be written, since True equals 1.
            if json.dumps(said[key]) != json.dumps(right[key]):
                return f"{key} of {whom} is {shortened(said[key])}: expected {shortened(right[key])}, as its card says"
    return None


def unlike(members: Sequence[Member]) -> str | None:
    """Why these members cannot be one model, in words; None if they can."""
    first = members[0]
    for other in members[1:]:
        for what, mine, theirs in (
            ("voxels", f"{first.card.spacing_mm:g} mm", f"{other.card.spacing_mm:g} mm"),
            ("intensities", first.card.normalisation, other.card.normalisation),
        ):
            if mine != theirs:
                return f"{first.name} and {other.name} work in different spaces: {what} {mine} and {theirs}"
    targets: dict[tuple[bool, Subset], Member] = {}
    for member in members:
        for subset in member.card.subsets:
            known = targets.setdefault((member.generalist, subset), member)
            if known.card.target is not member.card.target:
                return (
                    f"{known.name} and {member.name} both serve {subset}, but their outputs are "
                    f"{known.card.target.value} and {member.card.target.value}, which cannot be averaged"
                )
    return None


def _member(folder: Path, entry: Any) -> Member:
    """A member whose checkpoint is the one that the pack was made of."""
    name, digest = (entry.get(key) if isinstance(entry, dict) else None for key in ("name", "checkpoint_sha256"))
    if not isinstance(name, str) or not _PLAIN_FOLDER.fullmatch(name):
        raise ModelError(f"{folder / PACK}: {shortened(name)} is not the name of a member's folder")
    place = folder / MEMBERS / name
    if place.is_symlink() or place.parent.is_symlink():
        raise ModelError(f"{place}: it is a link: expected a folder of the pack's own")
    if not os.path.lexists(place / CARD):
        raise ModelError(f"{place / CARD} is missing: the pack is not whole; copy it again")
    try:
        content = read_bytes(place / CARD, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(f"{place / CARD} cannot be read ({_reason(error)}): copy the pack again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelError(f"{place / CARD} is damaged (its checksum differs): copy the pack again")
    try:
        # This generation and no other, since the pack was made of it.
        return Member.of(name, place, read_card(place))
    except ModelError as error:
        raise ModelError(f"{place}: {error}: copy the pack again") from error


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({_reason(error)}): expected the card of a pack") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: it is no JSON object: expected the card of a pack")
    return content
