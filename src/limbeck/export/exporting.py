"""Models made into files of ONNX, one a member, each with a JSON beside it; none is written that is not right."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.durable import replacing, sha256, write_json
from limbeck.errors import ModelError, UsageError
from limbeck.export.agreement import compare
from limbeck.export.description import describe, made
from limbeck.export.extra import check_extra
from limbeck.export.graph import to_onnx
from limbeck.inference.member import Member, member_of_run
from limbeck.inference.pack import is_pack, read_pack
from limbeck.methods.base import NetworkSettings
from limbeck.methods.saved import checked_settings, load_method
from limbeck.received import read_json

ENDING = ".onnx"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Exported:
    """A file of ONNX that lies there, whole and right.

    Attributes:
        path: of the file; its JSON has the same name but for the ending.
        facts: what the JSON says.
        kept: whether it was there already.
    """

    path: Path
    facts: dict[str, Any]
    kept: bool


def members_of(model: Path) -> tuple[Member, ...]:
    """The members of a run, a checkpoint folder or a pack; their files are verified, and no weights are read.

    Raises:
        ModelError: the folder is missing, holds no model, or holds a damaged one.
    """
    return read_pack(model).members if is_pack(model) else (member_of_run(model),)


def export(
    members: tuple[Member, ...],
    out: Path,
    *,
    overwrite: bool = False,
    done: Callable[[int], None] = lambda count: None,
) -> list[Exported]:
    """Write each member's file and its JSON; what lies there, finished and of the same member, is kept.

    Args:
        members: of one model.
        out: a name that ends in `.onnx`, for a single member, or a folder, where each has its own name.
        overwrite: replace files that lie there.
        done: called after each with how many there are.

    Raises:
        UsageError: there are several members for one file, a file lies there, or the extra is not installed.
        ModelError: weights are damaged or too large, or the file's scores differ from the method's.
        ResourceError: the disk is full, or nothing may be written there.
    """
    check_extra()
    places = places_of(members, out)
    finished = []
    # All that stands in the way is told before any work is done.
    for member, path in zip(members, places, strict=True):
        settings = checked_settings(member.card)
        facts = None if overwrite else _finished(path, describe(member, settings))
        if facts is None and not overwrite:
            _refuse_existing(path)
        finished.append((member, settings, path, facts))
    exported = []
    for member, settings, path, facts in finished:
        exported.append(Exported(path, facts, True) if facts is not None else _export(member, settings, path))
        done(len(exported))
    return exported


def places_of(members: tuple[Member, ...], out: Path) -> list[Path]:
    """Where each member's file goes.

    Raises:
        UsageError: several would have one name.
        ModelError: a member's name names no file.
    """
    if out.name.endswith(ENDING):
        if len(members) != 1:
            raise UsageError(f"output {out}: the model has {len(members)} members: expected a folder, for a file each")
        return [out]
    for member in members:
        # A run's name is made of what its card says, which may come from anywhere.
        if member.name[:1] in ("", ".") or any(sign in member.name for sign in "/\\\0\n"):
            raise ModelError(f"member {member.name!r}: its file would have no plain name: expected one without slashes")
    return [out / f"{member.name}{ENDING}" for member in members]


def json_of(path: Path) -> Path:
    """The JSON beside a file."""
    return path.with_suffix(".json")


def _export(member: Member, settings: NetworkSettings, path: Path) -> Exported:
    """One member: translated, compared with torch, and only then written."""
    card = member.card
    method = load_method(member.folder, card).eval()
    description = describe(member, settings)
    sequences = "+".join(description["inputs"][0]["sequences"])
    notes = {"limbeck": description["limbeck"], "member": member.name, "sequences": sequences}
    try:
        content = to_onnx(method, {**notes, "weights_sha256": card.weights_hash})
        agreement = compare(content, method, card.patch)
    except ModelError as error:
        raise ModelError(f"{member.name}: {error}") from error
    # The file is the commit mark: it takes its name last, and one that stands by itself is not ours.
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        facts = {**description, **made(path.name, len(content), sha256(temporary), agreement)}
        # A file that is replaced must not lie beside the JSON of another.
        path.unlink(missing_ok=True)
        write_json(json_of(path), facts)
    return Exported(path, facts, False)


def _finished(path: Path, description: dict[str, Any]) -> dict[str, Any] | None:
    """What the JSON beside a finished file of this very member says; None if there is no such file."""
    facts = _said(path)
    if facts is None or not path.is_file():
        return None
    if any(facts.get(key) != value for key, value in description.items()):
        return None
    file = facts.get("file")
    whole = isinstance(file, dict) and file.get("name") == path.name and file.get("sha256") == sha256(path)
    return facts if whole and isinstance(facts.get("agreement"), dict) else None


def _said(path: Path) -> dict[str, Any] | None:
    """What the JSON beside a file says, if it is one that this package wrote."""
    try:
        facts = read_json(json_of(path), _MOST_BYTES)
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "limbeck" in facts and isinstance(facts.get("file"), dict) else None


def _refuse_existing(path: Path) -> None:
    """Leave alone what lies there, but for a JSON without its file, which a killed process left.

    Raises:
        UsageError: something else lies there.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists: give --overwrite to replace it")
    if os.path.lexists(json_of(path)) and _said(path) is None:
        raise UsageError(f"{json_of(path)} exists and is not of limbeck export: expected another name, or --overwrite")
