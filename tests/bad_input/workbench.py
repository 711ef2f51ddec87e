"""Good input to spoil, ways to spoil it, and the runner that checks what every failure must keep."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.cli import main

USAGE, DATA, MODEL, PARTIAL = 2, 3, 4, 6
FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]


class Bench:
    """Good input to spoil, and the runner that checks what every failure must keep."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str] | None = None) -> None:
        self.root, self.capsys = root, capsys
        self.phantoms, self.cohort = root / "phantoms", root / "cohort"
        self.teacher, self.student, self.wide = (root / "runs" / name for name in ("teacher", "student", "wide"))
        self.flair = self.phantoms / "BraTS2021_00001" / "BraTS2021_00001_flair.nii.gz"

    def refuses(self, code: int, *words: str | Path, says: tuple[str, ...]) -> str:
        """Run a command that has to fail so; gives what it said."""
        assert self.capsys is not None
        self.capsys.readouterr()
        before = contents(self.root)
        assert main([str(word) for word in words]) == code
        said = self.capsys.readouterr().err
        assert contents(self.root) == before, "something was written, changed or lost"
        check_line(said, says)
        return said


def check_line(said: str, says: tuple[str, ...]) -> None:
    assert said.startswith("limbeck: ") and "Traceback" not in said and "Error:" not in said
    assert said.count("\n") == 1, f"not one line: {said!r}"
    for part in says:
        assert part in said, said


def contents(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def respelt(path: Path, change: Callable[[np.ndarray], np.ndarray], shift: float = 0.0) -> None:
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += shift
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj).copy()), affine), path)


def truncated(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    return path


def corrupt(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1.nii.gz"
    raw = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(raw)))
    packed[-6] ^= 0xFF
    path.write_bytes(bytes(packed))
    return path


def with_nan(folder: Path) -> Path:
    path = folder / f"{folder.name}_t2.nii.gz"
    respelt(path, lambda voxels: np.where(voxels == voxels.max(), np.nan, voxels.astype(np.float32)))
    return path


def cut(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1ce.nii.gz"
    respelt(path, lambda voxels: voxels[:-1])
    return path


def moved(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1ce.nii.gz"
    respelt(path, lambda voxels: voxels, shift=12.0)
    return path


def four_dimensional(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1ce.nii.gz"
    respelt(path, lambda voxels: np.stack([voxels, voxels], -1))
    return path


def empty(folder: Path) -> Path:
    path = folder / f"{folder.name}_t1ce.nii.gz"
    respelt(path, np.zeros_like)
    return path


def unknown_label(folder: Path) -> Path:
    path = folder / f"{folder.name}_seg.nii.gz"
    respelt(path, lambda voxels: np.where(voxels == 2, 7, voxels).astype(np.uint8))
    return path
