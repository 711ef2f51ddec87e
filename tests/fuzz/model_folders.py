"""Runs, checkpoint folders and packs, spoilt in one way each; a number makes its folder again.

A spoilt folder says what may become of it: `refused` (a link, a pickle, a size that is no file's), `known` (it is
refused, or the mask is one that the sound folder gives), or `free` (what decides a mask was changed into something that
is valid too, so that another mask is right).
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from model_folders_parts import (
    CANARY,
    OUTSIDE,
    PICKLES,
    VALUES,
    Raw,
    leaves,
    other_header,
    place_in,
    rewrite,
    text_of,
    twice,
    with_bytes_changed,
)
from model_folders_sound import Kind, read_or_none, replace_sealed, seal, sound
from safetensors import SafetensorError
from safetensors.torch import load_file

from limbeck.methods.saved import CARD, PREVIOUS

Outcome: TypeAlias = Literal["refused", "known", "free"]
# What of a card decides a mask.
DECIDING = ("method", "settings", "subsets", "target", "spacing_mm", "patch", "normalisation")


@dataclass(frozen=True)
class Made:
    """A spoilt folder.

    Attributes:
        path: the folder.
        number: makes it again.
        base: what it was.
        kind: how it was spoilt.
        outcome: what may become of it.
        given: the sequences to segment from.
    """

    path: Path
    number: int
    base: Kind
    kind: str
    outcome: Outcome
    given: Literal["all", "flair"]


def kind_of(number: int) -> str:
    """How the folder of a number is spoilt."""
    return KINDS[number % len(KINDS)].__name__


def make(number: int, root: Path, work: Path) -> Made:
    """The folder of a number.

    Args:
        number: from 0.
        root: holds the sound folders, or will.
        work: an empty folder for what is made.
    """
    rng = random.Random(number)
    base: Kind = rng.choice(("run", "folder", "pack", "pack"))
    spoil = KINDS[number % len(KINDS)]
    given: Literal["all", "flair"] = rng.choice(("all", "flair", "flair")) if base == "pack" else "all"
    path = work / "model"
    # Files are only ever replaced, so those of the sound folder stay as they are.
    shutil.copytree(sound(root)[base], path, copy_function=os.link)
    if rng.random() < 0.5:
        alone(path)
    return Made(path, number, base, spoil.__name__, spoil(path, rng), given)


# --- where things lie -------------------------------------------------------------------------------------------------


def cards(folder: Path, rng: random.Random) -> Path:
    """One of the cards that matter for a mask."""
    found = sorted(path for name in (CARD, PREVIOUS, "model.json") for path in folder.rglob(name))
    return rng.choice(found)


def weights_of(folder: Path, rng: random.Random) -> tuple[Path, Path]:
    """A card that is no former one, and its weights."""
    card = rng.choice(sorted(folder.rglob(CARD)))
    (name,) = (name for name in json.loads(card.read_text())["files"] if name.startswith("weights-"))
    return card, card.parent / name


def alone(folder: Path) -> None:
    """Take away what could stand in for a damaged best checkpoint."""
    for path in folder.rglob(PREVIOUS):
        path.unlink()
    if (folder / "best").is_dir():
        shutil.rmtree(folder / "last", ignore_errors=True)


def _decides(before: Any, after: Any) -> Outcome:
    """Whether what decides a mask was changed."""
    if not isinstance(after, dict) or not isinstance(before, dict):
        return "known"
    return "free" if any(text_of(before.get(key)) != text_of(after.get(key)) for key in DECIDING) else "known"


# --- ways of spoiling -------------------------------------------------------------------------------------------------


def unspoilt(folder: Path, rng: random.Random) -> Outcome:
    return "known"


def value(folder: Path, rng: random.Random) -> Outcome:
    """An entry of a card has another value: of another kind, extreme, nested, odd."""
    card = cards(folder, rng)
    content = read_or_none(card)
    before = json.loads(json.dumps(content))
    place_in(content, rng.choice(leaves(content)), rng.choice(VALUES))
    return _written(folder, rng, card, before, content)


def entry(folder: Path, rng: random.Random) -> Outcome:
    """An entry of a card is missing, has another name, or there is one more."""
    card = cards(folder, rng)
    content = read_or_none(card)
    before = json.loads(json.dumps(content))
    part = rng.choice([content, *(one for one in content.values() if isinstance(one, dict) and one)])
    name = rng.choice(sorted(part))
    taken = part.pop(name)
    if rng.random() < 0.6:
        part[rng.choice((name + "s", name.upper(), "__class__", "\u202e", "a\nb", "../x", ""))] = taken
    return _written(folder, rng, card, before, content)


def _written(folder: Path, rng: random.Random, card: Path, before: Any, content: Any) -> Outcome:
    text = text_of(content)
    rewrite(card, text)
    if rng.random() < 0.8:
        seal(folder, facts=rng.random() < 0.8)
    return _decides(before, content)


def repeated(folder: Path, rng: random.Random) -> Outcome:
    """A name stands twice in a card; which of the two holds is nobody's to guess."""
    alone(folder)
    card = next(iter(sorted(folder.glob("best/checkpoint.json")))) if (folder / "best").is_dir() else cards(folder, rng)
    replace_sealed(folder, card, twice(card.read_text(), rng))
    return "refused"


def card_bytes(folder: Path, rng: random.Random) -> Outcome:
    """Bytes of a card are changed, put in or taken out."""
    card = cards(folder, rng)
    before = read_or_none(card)
    rewrite(card, with_bytes_changed(card.read_bytes(), rng))
    seal_after = read_or_none(card)
    if rng.random() < 0.5 and seal_after is not None:
        seal(folder)
    return _decides(before, seal_after)


def header(folder: Path, rng: random.Random) -> Outcome:
    """The header of the weights announces something else; the checksum is right."""
    _, weights = weights_of(folder, rng)
    before = load_file(weights)
    rewrite(weights, other_header(weights.read_bytes(), rng))
    seal(folder)
    return _same_tensors(before, weights)


def header_bytes(folder: Path, rng: random.Random) -> Outcome:
    """Bytes of the header are changed; the checksum is right."""
    _, weights = weights_of(folder, rng)
    before, content = load_file(weights), bytearray(weights.read_bytes())
    length = int.from_bytes(content[:8], "little")
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(8 + length)] ^= 1 << rng.randrange(8)
    rewrite(weights, bytes(content))
    seal(folder)
    return _same_tensors(before, weights)


def _same_tensors(before: dict[str, torch.Tensor], path: Path) -> Outcome:
    """`known` if the file holds what it held, or cannot be read at all."""
    try:
        after = load_file(path)
    except (SafetensorError, OSError, ValueError, OverflowError, TypeError, KeyError, RuntimeError):
        return "known"
    same = before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    return "known" if same else "free"


def payload(folder: Path, rng: random.Random) -> Outcome:
    """Bits of the weights themselves are changed."""
    _, weights = weights_of(folder, rng)
    content = bytearray(weights.read_bytes())
    first = 8 + int.from_bytes(content[:8], "little")
    for _ in range(rng.choice((1, 4, 4096))):
        content[rng.randrange(first, len(content))] = rng.choice((0, 0x7F, 0xFF, rng.randrange(256)))
    rewrite(weights, bytes(content))
    if rng.random() < 0.3:
        return "known"
    seal(folder)
    return "free"


def length(folder: Path, rng: random.Random) -> Outcome:
    """The weights end too early or too late, or are of a size that no disk has."""
    alone(folder)
    _, weights = weights_of(folder, rng)
    content = weights.read_bytes()
    cut = rng.choice((0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1, len(content) + 1, 2**40))
    rewrite(weights, content[:cut])
    if cut > len(content):
        os.truncate(weights, cut)
    if cut <= len(content) + 1 and rng.random() < 0.8:
        seal(folder)
    return "refused"


def swapped(folder: Path, rng: random.Random) -> Outcome:
    """Two files of a kind change places."""
    found = sorted(folder.rglob(rng.choice(("*.safetensors", CARD))))
    if len(found) < 2:
        return "known"
    one, other = rng.sample(found, 2)
    first, second = one.read_bytes(), other.read_bytes()
    rewrite(one, second)
    rewrite(other, first)
    if rng.random() < 0.5:
        seal(folder)
        return "free"
    return "known"


def missing(folder: Path, rng: random.Random) -> Outcome:
    """A file or a folder is gone."""
    gone = rng.choice(sorted(folder.rglob("*")))
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    return "known"


def _what_is_read(folder: Path, rng: random.Random) -> Path:
    """A file or a folder without which there is no mask."""
    alone(folder)
    card, weights = weights_of(folder, rng)
    whole = [folder / "model.json", folder / "members"] if (folder / "members").is_dir() else []
    inner = [card.parent] if card.parent != folder else []
    return rng.choice([card, weights, *whole, *inner])


def link(folder: Path, rng: random.Random) -> Outcome:
    """A file or a folder is a link to the same outside, to nothing, to itself or to a device."""
    path = _what_is_read(folder, rng)
    outside = folder.parent / OUTSIDE / path.name
    outside.parent.mkdir()
    path.rename(outside)
    relative = Path(os.path.relpath(outside, path.parent))
    path.symlink_to(rng.choice((outside, relative, outside, *map(Path, ("nowhere", path.name, "/dev/zero", "/")))))
    return "refused"


def no_file(folder: Path, rng: random.Random) -> Outcome:
    """A pipe, a folder, or a device stands where a file is expected."""
    path = _what_is_read(folder, rng)
    while path.is_dir():
        path = _what_is_read(folder, rng)
    path.unlink()
    how = rng.choice(("pipe", "folder", "device"))
    if how == "folder":
        path.mkdir()
        return "refused"
    try:
        os.mknod(path, 0o600 | (0o020000 if how == "device" else 0o010000), os.makedev(1, 5) if how == "device" else 0)
    except PermissionError:
        os.mkfifo(path)
    return "refused"


def pickled(folder: Path, rng: random.Random) -> Outcome:
    """A pickle that writes a file when it is loaded, under the name of weights or of a card."""
    path = _what_is_read(folder, rng)
    while path.is_dir():
        path = _what_is_read(folder, rng)
    rewrite(path, rng.choice(PICKLES)(folder.parent / CANARY))
    seal(folder)
    return _unless_unused(folder)


def bomb(folder: Path, rng: random.Random) -> Outcome:
    """A card that is deep, wide, long, or asks for more than there is."""
    path = _what_is_read(folder, rng)
    while path.suffix != ".json":
        path = _what_is_read(folder, rng)
    text = path.read_text()
    depth = rng.choice((40, 900, 100_000))
    spoilt = rng.choice(
        (
            "[" * depth,
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            text.replace("{", '{"deep": ' + "[" * depth + "]" * depth + ", ", 1),
            text.replace("{", '{"wide": [' + "[]," * 1_000_000 + "0], ", 1),
            text.replace("{", '{"long": "' + "x" * 2**23 + '", ', 1),
            text.replace("{", '{"number": ' + "9" * depth + ", ", 1),
            text.replace("{", '{"number": 1e' + "9" * depth + ", ", 1),
            text + " " * 2**24,
        )
    )
    replace_sealed(folder, path, spoilt)
    return "refused"


def asked(folder: Path, rng: random.Random) -> Outcome:
    """Settings of a network, a window or a space that no memory holds; all checksums are right."""
    alone(folder)
    card, _ = weights_of(folder, rng)
    content = read_or_none(card)
    huge = rng.choice((2**20, 2**31, 10**9, 2**62, 1 << 63))
    change: Callable[[], Any] = rng.choice(
        (
            lambda: content["settings"].update(width=rng.choice((huge, 8 * huge, 120, 128, 16))),
            lambda: content.update(patch=rng.choice(([huge] * 3, [16, 16, huge], [1024] * 3, [512] * 3, [8] * 3))),
            lambda: content.update(spacing_mm=rng.choice((1e-300, 5e-324, 1e-3, 0, -1, 1e308, Raw("1e999")))),
            lambda: content.update(subsets=rng.choice(([], ["flair"] * 2, ["all"] * huge.bit_length(), ["t9"]))),
            lambda: content.update(step=rng.choice((-1, huge << 64, 0.5, True))),
        )
    )
    change()
    rewrite(card, text_of(content))
    seal(folder)
    return _unless_unused(folder)


def _unless_unused(folder: Path) -> Outcome:
    """Whether weights fit is told when they are needed, and not every member of a pack is."""
    return "known" if (folder / "members").exists() else "refused"


KINDS: tuple[Callable[[Path, random.Random], Outcome], ...] = (
    *(value, header, link, card_bytes, payload, asked, entry, pickled, value, length, swapped, no_file, header_bytes),
    *(missing, repeated, header, bomb, value, unspoilt),
)
