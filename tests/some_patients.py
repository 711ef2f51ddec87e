"""The first patients of a folder of scans, to be changed or spoilt without harm to the others' tests."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_first(source: Path, count: int, out: Path) -> None:
    """Copy so many of a folder's patients, in the order of their names."""
    for case in sorted(path for path in source.iterdir() if path.is_dir())[:count]:
        shutil.copytree(case, out / case.name)
