"""Spoilt NIfTI files by number: the same number makes the same file again."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nifti_drafts import Draft, draft, pack
from nifti_spoils import BOMBS, IN_CONTENT, IN_FILE, IN_HEADER, KINDS, SOUND, WEIGHTS

NAMES = ("scan", "scan", "scan", "two words", "Größe", "脳", "line\nbreak", "SCAN", ".hidden", "a.b.c")


@dataclass(frozen=True)
class Made:
    """A file for the fuzzer.

    Attributes:
        path: where it lies.
        number: makes it again.
        kind: what was done to it.
        labels: it was made as a segmentation.
        content: bytes of the file before it was packed, without what a bomb adds.
    """

    path: Path
    number: int
    kind: str
    labels: bool
    content: int

    @property
    def sound(self) -> bool:
        """Nothing was done to it, so it has to be read."""
        return self.kind == SOUND


def make(number: int, folder: Path) -> Made:
    """Write the file of a number into a folder of its own."""
    rng = np.random.default_rng(number)
    one = draft(rng)
    kind = kind_of(number)
    if kind in IN_HEADER:
        IN_HEADER[kind](one)
    content = one.content()
    if kind in IN_CONTENT:
        content = IN_CONTENT[kind](rng, bytearray(content))
    data = pack(rng, content) if one.packed else content
    if kind in IN_FILE:
        data = IN_FILE[kind](rng, bytearray(data))
    if kind in BOMBS:
        one.packed = True
        data = BOMBS[kind](one)
    name = str(rng.choice(NAMES))
    ending = ".nii.gz" if one.packed else ".nii"
    path = folder / (name + (ending.upper() if name.isupper() else ending))
    path.write_bytes(data)
    return Made(path, number, kind, one.labels, len(content))


def spoil(path: Path, number: int) -> str:
    """Spoil a little-endian NIfTI-1 file, packed, where it lies; says how."""
    rng = np.random.default_rng(number)
    kind = str(rng.choice([kind for kind in KINDS if kind != SOUND and kind not in BOMBS]))
    content = gzip.decompress(path.read_bytes())
    header = Nifti1Header(content[:348], endianness="<", check=False)
    one = Draft(rng, header, b"", np.zeros(0), np.dtype("i2"), labels=False, packed=True)
    if kind in IN_HEADER:
        IN_HEADER[kind](one)
        content = header.binaryblock + content[348:]
    if kind in IN_CONTENT:
        content = IN_CONTENT[kind](rng, bytearray(content))
    data = gzip.compress(content, mtime=0)
    path.write_bytes(IN_FILE[kind](rng, bytearray(data)) if kind in IN_FILE else data)
    return kind


def kind_of(number: int) -> str:
    """What is done to the file of a number."""
    return str(np.random.default_rng([number, 1]).choice(KINDS, p=WEIGHTS / WEIGHTS.sum()))
