"""Sound runs, checkpoint folders and packs, and their checksums put right after something was changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from model_folders_parts import rewrite, text_of

from limbeck.anatomy import Subset
from limbeck.inference.packing import pack
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import CARD, DONE, PREVIOUS, Card, save

Kind: TypeAlias = Literal["run", "folder", "pack"]
SPACING_MM = 3.0
NETWORK = {"network": "resunet", "width": 8}


def run_of(folder: Path, method: str, fold: int) -> Path:
    """A finished run of untrained networks: two generations of the best, and a last with the state of training."""
    kind = find(method)
    subsets = Subset.every() if kind.generalist else (Subset.parse("flair"),)
    torch.manual_seed(fold)
    made = build(method, kind.Settings(**NETWORK), Context(subsets))
    origin = {"experiment": f"{fold + 1:064x}", "data": "d" * 64, "fold": fold, "folds": 5, "seed": 0}
    card = Card(
        method, dataclasses.asdict(made.settings), subsets, kind.target, SPACING_MM, (16, 16, 16), origin=origin
    )
    for step, place in ((2, "best"), (4, "best"), (6, "last")):
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        state = {"random/cpu": torch.get_rng_state()} if place == "last" else None
        save(folder / place, made, dataclasses.replace(card, step=step), state)
    (folder / "experiment.yaml").write_text("method: supervised\nsubset: flair\nfold: 0\n")
    (folder / "environment.json").write_text(json.dumps({"sessions": [{"training_cases": 7, "use": "all"}]}))
    (folder / DONE).write_text('{"best_step": 4, "validation_dice": 0.5}\n')
    return folder


@cache
def sound(root: Path) -> dict[Kind, Path]:
    """The folders that are spoilt; made once for each place."""
    run = run_of(root / "run", "supervised", 0)
    runs = [run, run_of(root / "other", "supervised", 1), run_of(root / "any", "dropout", 2)]
    pack(runs, root / "pack", name="three")
    return {"run": run, "folder": run / "best", "pack": root / "pack"}


def seal(folder: Path, facts: bool = True) -> None:
    """Put right checksums everywhere, so that they hide nothing; in a pack also what it says of its members."""
    for card in [*folder.rglob(CARD), *folder.rglob(PREVIOUS)]:
        content = read_or_none(card)
        names = content.get("files") if isinstance(content, dict) else None
        if not isinstance(names, dict):
            continue
        plain = {name: card.parent / name for name in names if "/" not in name and "\0" not in name and len(name) < 200}
        found = {name: _digest(path) for name, path in plain.items() if path.is_file()}
        if any(names[name] != digest for name, digest in found.items()):
            rewrite(card, text_of({**content, "files": {**names, **found}}))
    _seal_pack(folder, facts)


def _seal_pack(folder: Path, facts: bool) -> None:
    content = read_or_none(folder / "model.json") if (folder / "model.json").is_file() else None
    if not isinstance(content, dict) or not isinstance(content.get("members"), list):
        return
    for entry in content["members"]:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or "\0" in name or len(name) > 200:
            continue
        card = folder / "members" / name / CARD
        if not card.is_file():
            continue
        said = read_or_none(card)
        entry["checkpoint_sha256"] = _digest(card)
        if facts and isinstance(said, dict):
            entry.update({key: said[key] for key in ("method", "subsets", "target", "patch", "step") if key in said})
    rewrite(folder / "model.json", text_of(content))


def read_or_none(path: Path) -> Any:
    """The values in a JSON file; None if it holds none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace_sealed(folder: Path, path: Path, content: str) -> None:
    """Put a card in the place of another, and its checksum into its pack; nothing else of either changes."""
    before = _digest(path)
    rewrite(path, content)
    if (folder / "model.json").is_file() and path.name == CARD:
        rewrite(folder / "model.json", (folder / "model.json").read_text().replace(before, _digest(path)))
