"""Where a volume lies, and what kind of file it is by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NIFTI = (".nii", ".nii.gz")
# Read and written through SimpleITK, the extra `[itk]`.
ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
SUFFIXES = NIFTI + ITK


@dataclass(frozen=True)
class Source:
    """Where a volume lies: a file, and its channel if the file is 4-D."""

    path: Path
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.channel is None else f"{self.path} (channel {self.channel})"


def suffix(path: Path) -> str:
    """The ending by which a volume's format goes, such as `.nii.gz`; empty if the name is no volume's."""
    name = path.name.lower()
    return next((known for known in SUFFIXES if name.endswith(known)), "")


def stem(path: Path) -> str:
    """A volume's name without the ending of its format."""
    ending = suffix(path)
    return path.name[: -len(ending)] if ending else path.name
