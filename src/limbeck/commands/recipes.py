"""Recipes that come with the package go by their names: `--config common`, `--config gkd`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

# A link to the repository's own folder; in an installed package, a copy of it.
_FOLDER = Path(str(files("limbeck"))) / "configs"


def names() -> list[str]:
    """The recipes that there are, the one for all methods first."""
    return ["common", *sorted(path.stem for path in (_FOLDER / "methods").glob("*.yaml"))]


def found(path: Path) -> Path:
    """What a command line means by a file of settings: the file, or else the recipe of that name."""
    if path.is_file() or len(path.parts) != 1 or str(path) not in names():
        return path
    return _FOLDER / "common.yaml" if str(path) == "common" else _FOLDER / "methods" / f"{path}.yaml"
