"""Runs made into a pack: what prediction needs of each, copied into one folder that is whole or absent."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from limbeck.durable import left_behind, replacing, sha256, sync, write_json, write_text
from limbeck.errors import ModelError, ResourceError, UsageError
from limbeck.inference.member import WEIGHTS, Member, member_of_run
from limbeck.inference.model_card import HALF, model_card
from limbeck.inference.pack import MEMBERS, PACK, README, Pack, contents, is_pack, plain_name, read_pack, unlike
from limbeck.methods.saved import CARD, DONE, load_part, write_part
from limbeck.received import read_json


def pack(
    runs: Sequence[Path],
    out: Path,
    *,
    name: str | None = None,
    note: str = "",
    half: bool = False,
    overwrite: bool = False,
) -> Pack:
    """Put finished runs into one model; the same runs give the same bytes, in whatever order.

    Args:
        runs: folders of `limbeck train`: their best checkpoints are taken.
        out: the folder to make.
        name: what predictions will say made them; by default the folder's own name.
        note: words of the maker for the model card.
        half: keep weights as 16-bit numbers, in half of the bytes. In float32 scores then differ in their
            fourth digit; bf16 rounds more than that by itself.
        overwrite: replace a pack that lies there.

    Raises:
        ModelError: a run is missing, unfinished or damaged.
        UsageError: the runs share no space or no outputs, one is there twice, the name is none, or something lies
            where the pack would go.
        ResourceError: the disk is full.
    """
    called = out.resolve().name if name is None else name
    if not plain_name(called):
        raise UsageError(f"name {called!r}: expected one line of 1 to 200 characters")
    check_place(out, overwrite)
    # `.` has no name to put another beside.
    out = out.absolute()
    members, cases = _members(runs)
    content = contents(called, note.strip(), members, cases) | ({"weights": HALF} if half else {})
    with _folder(out) as folder:
        for member, entry in zip(members, content["members"], strict=True):
            entry["checkpoint_sha256"] = _copy(member, folder / MEMBERS / member.name, half)
        write_json(folder / PACK, content)
        write_text(folder / README, model_card(content))
        # What was written is what will be read, or nothing is left behind.
        read_pack(folder)
    return read_pack(out)


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place where a pack cannot or should not be written.

    Raises:
        UsageError: it is a file, or a folder that holds something; with `overwrite`, something else than a pack, or
            more than that.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"{out} is no folder: expected a new name")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_pack(out) or not (out / MEMBERS).is_dir():
        raise UsageError(f"{out} holds something that is no pack: expected a new name")
    if not overwrite:
        raise UsageError(f"{out} exists: give --overwrite to replace it")
    # It goes as a whole, so that nobody else's may lie in it.
    if strangers := sorted({path.name for path in out.iterdir()} - {PACK, MEMBERS, README}):
        raise UsageError(f"{out} holds {strangers[0]}, which is no part of a pack: expected a new name")


def _members(runs: Sequence[Path]) -> tuple[list[Member], list[int | None]]:
    """The runs as members, by name, and how many cases each has learnt from."""
    if not runs:
        raise UsageError("no run given: expected at least one folder of limbeck train")
    found: dict[str, tuple[Member, Path]] = {}
    for run in runs:
        member = _member(run)
        if member.name in found:
            raise UsageError(f"{run} and {found[member.name][1]} are the same experiment: expected each once")
        found[member.name] = (member, run)
    ordered = [found[name] for name in sorted(found)]
    members = [member for member, _ in ordered]
    if problem := unlike(members):
        raise UsageError(f"{problem}: pack them apart")
    return members, [_training_cases(run) for _, run in ordered]


def _member(run: Path) -> Member:
    if not run.is_dir():
        raise ModelError(f"run folder {run} does not exist: expected a run folder of limbeck train")
    if is_pack(run):
        raise ModelError(f"{run} is a pack already: expected the runs that it was made of")
    if not (run / DONE).is_file():
        raise ModelError(f"{run} is no finished run: it has no {DONE} file; finish its training first")
    member = member_of_run(run)
    if not member.card.origin.get("experiment"):
        raise ModelError(
            f"{run}: its checkpoint does not say which experiment made it: expected a run of limbeck train"
        )
    return member


def _training_cases(run: Path) -> int | None:
    """How many cases the run's last session learnt from; None if it does not say."""
    try:
        sessions = read_json(run / "environment.json")["sessions"]
        return int(sessions[-1]["training_cases"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _copy(member: Member, target: Path, half: bool) -> str:
    """The member's weights and its card; returns the card's checksum."""
    files = (_narrowed if half else _as_they_are)(member, target)
    write_json(target / CARD, dataclasses.replace(member.card, files=files).to_json())
    return sha256(target / CARD)


def _as_they_are(member: Member, target: Path) -> dict[str, str]:
    """Copy the member's weights; returns their files' names and checksums."""
    for name, digest in member.weights.items():
        with replacing(target / name) as temporary:
            shutil.copyfile(member.folder / name, temporary)
        if sha256(target / name) != digest:
            raise ModelError(f"{member.folder / name} changed while it was copied: run the command again")
    return member.weights


def _narrowed(member: Member, target: Path) -> dict[str, str]:
    """Write the member's weights as 16-bit numbers; returns their file's name and its checksum.

    Raises:
        ModelError: one is larger than such a number can be.
    """
    wide = load_part(member.folder, member.card, "weights")
    narrow = {name: tensor.half() if tensor.dtype is torch.float32 else tensor for name, tensor in wide.items()}
    if large := [name for name, tensor in narrow.items() if not bool(torch.isfinite(tensor).all())]:
        raise ModelError(f"{member.folder}: {large[0]} holds weights above 65,504: pack it without --half")
    name, digest = write_part(target, f"{WEIGHTS}{member.card.step:06d}", narrow)
    return {name: digest}


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target`; on success it takes the target's name, else nothing of it is left.

    A folder cannot replace one that is not empty, so an old pack steps aside first: a kill between the two renames
    leaves it under a name of its own, and none in its place. What such kills left goes when a new pack stands.
    """
    token = secrets.token_hex(6)
    temporary, aside = (target.with_name(f".{token}.{what}.{target.name}") for what in ("tmp", "old"))
    try:
        temporary.mkdir(parents=True)
        with _at_work(temporary):
            yield temporary
            # Every file was synced when it was written; the folders' own lists are synced here.
            for place in (*(path for path in temporary.rglob("*") if path.is_dir()), temporary):
                sync(place)
            if target.is_dir():
                target.rename(aside)
            temporary.rename(target)
            sync(target.parent)
        _sweep(target)
    except OSError as error:
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _at_work(folder: Path) -> Iterator[bool]:
    """Hold a folder until this ends, or its process does; yields whether no other process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except OSError:
            # Held by another, or on a file system without locks, where nothing is swept.
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what killed processes left of packs of this name."""
    for path in target.parent.iterdir():
        if left_behind(path) and path.name.split(".", 3)[3] == target.name and path.is_dir():
            with _at_work(path) as alone:
                if alone:
                    shutil.rmtree(path, ignore_errors=True)
