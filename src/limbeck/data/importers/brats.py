"""BraTS, 2017 to 2024: files named `<case>_flair.nii.gz` or, since 2023, `<case>-t2f.nii.gz`.

Cases are told apart by what stands before the sequence's name, so it does not matter how folders are nested: a year's
folder with HGG and LGG in it, cases side by side, or the folder of a single case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from limbeck.anatomy import MODALITY_ALIASES, Modality
from limbeck.data.case import Case, Source
from limbeck.errors import DataError

EXPLANATION = "BraTS: one folder a case with files such as <case>_t1ce.nii.gz or, since 2023, <case>-t1c.nii.gz"

_FILE = re.compile(r"(?P<case>.+)[_-](?P<role>[A-Za-z0-9]+)\.nii(\.gz)?$")
_SEGMENTATION = ("seg", "segm")
# Folders below the one that is given: the year, the grade, the case, and one to spare.
_DEPTH = 4
# The last number of these names counts examinations of the same patient.
_EXAMINATION = re.compile(r"(?P<patient>BraTS1[789]_.+)_\d+|(?P<later>BraTS-[A-Z]+-\d+)-\d+", re.IGNORECASE)


def detect(folder: Path) -> bool:
    """Whether a file below the folder is named as BraTS names its sequences."""
    return any(isinstance(role, Modality) for _, _, role in _files(folder))


def find(folder: Path) -> list[Case]:
    """The cases below a folder, by name. No image is read.

    Raises:
        DataError: two files claim the same role in a case, or two cases have the same name; a line for each.
    """
    cases: dict[tuple[Path, str], dict[Modality | None, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path, name, role in _files(folder):
        cases[path.parent, name][role].append(path)
    _adopt_segmentations(cases)
    problems, found = [], {}
    for (parent, name), roles in sorted(cases.items()):
        for role, paths in roles.items():
            if len(paths) > 1:
                what = "segmentation" if role is None else role.role
                problems.append(f"{paths[0]}: {paths[1].name} is {what} of case {name} too: keep one of them")
        if name in found:
            problems.append(f"{parent}: case {name} lies in another folder too: give each case its own name")
        images = {role: Source(paths[0]) for role, paths in sorted(_images(roles).items())}
        labels = Source(roles[None][0]) if None in roles else None
        if images:
            found[name] = Case(name, patient(name), images, labels)
    if problems:
        raise DataError("\n".join(problems))
    return [found[name] for name in sorted(found)]


def scheme(folder: Path) -> str:
    """Label codes by the style of the names: `brats2023` for t1n, t1c, t2w, t2f, else `brats2018`.

    Names do not tell 2024 from 2023; its resection cavity is then an unknown label, and the message says so.
    """
    later = ("t1n", "t1c", "t2w", "t2f")
    return "brats2023" if any(_role_text(path) in later for path, _, _ in _files(folder)) else "brats2018"


def patient(case: str) -> str:
    """Who was examined: the case's name without the number of the examination, where the year's names have one."""
    match = _EXAMINATION.fullmatch(case)
    return (match["patient"] or match["later"]) if match else case


def _files(folder: Path) -> list[tuple[Path, str, Modality | None]]:
    """Path, case and role (None for the segmentation) of every file whose name follows the pattern."""
    found: list[tuple[Path, str, Modality | None]] = []
    for path in _walk(folder, _DEPTH):
        match = _FILE.match(path.name)
        # Names that start so are BIDS.
        if match is None or path.name.startswith("sub-"):
            continue
        role = match["role"].lower()
        if role in _SEGMENTATION:
            found.append((path, match["case"], None))
        elif role in MODALITY_ALIASES:
            found.append((path, match["case"], MODALITY_ALIASES[role]))
    return found


def _walk(folder: Path, depth: int) -> list[Path]:
    files = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            files.append(entry)
        elif depth > 1:
            files += _walk(entry, depth - 1)
    return files


def _adopt_segmentations(cases: dict[tuple[Path, str], dict[Modality | None, list[Path]]]) -> None:
    """Give a folder's only case the segmentation beside it, even if that is named after something else.

    BraTS 2020 has one such file: W39_1998.09.19_Segm.nii in the folder of case 355.
    """
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for parent, name in cases:
        by_folder[parent].append(name)
    for parent, names in by_folder.items():
        lone = [name for name in names if set(cases[parent, name]) == {None}]
        whole = [name for name in names if name not in lone]
        if len(lone) == len(whole) == 1 and None not in cases[parent, whole[0]]:
            cases[parent, whole[0]][None] = cases.pop((parent, lone[0]))[None]


def _images(roles: dict[Modality | None, list[Path]]) -> dict[Modality, list[Path]]:
    return {role: paths for role, paths in roles.items() if role is not None}


def _role_text(path: Path) -> str:
    match = _FILE.match(path.name)
    return match["role"].lower() if match else ""
