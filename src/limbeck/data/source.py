"""Where a volume lies, and what kind of file it is by its name."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import DataError

NIFTI = (".nii", ".nii.gz")
# Read through SimpleITK, the extra `[itk]`. Masks are written as .mha and .nrrd, without it.
ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
SUFFIXES = NIFTI + ITK


@dataclass(frozen=True)
class Source:
    """Where a volume lies: a file, and its channel if the file is 4-D."""

    path: Path
    channel: int | None = None

    def __str__(self) -> str:
        return shown(self.path) if self.channel is None else f"{shown(self.path)} (channel {self.channel})"


def shown(path: Path) -> str:
    """A path on one line, as an error can show it: line breaks, control characters and stray bytes are spelt out."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in str(path)
    )


def looked_up(path: Path) -> tuple[bool, bool]:
    """Whether a folder lies there, and whether anything does.

    Raises:
        DataError: that cannot be told: the name is too long, for one, or a folder above may not be entered.
    """
    try:
        return path.is_dir(), path.exists()
    except OSError as error:
        raise DataError(
            f"{shown(path)}: cannot be opened ({error.strerror}): check its name and its permissions"
        ) from error


def suffix(path: Path) -> str:
    """The ending by which a volume's format goes, such as `.nii.gz`; empty if the name is no volume's."""
    name = path.name.lower()
    return next((known for known in SUFFIXES if name.endswith(known)), "")


def stem(path: Path) -> str:
    """A volume's name without the ending of its format."""
    ending = suffix(path)
    return path.name[: -len(ending)] if ending else path.name
