"""BraTS, 2017 to 2024: files named `<case>_flair.nii.gz` or, since 2023, `<case>-t2f.nii.gz`.

Cases are told apart by what stands before the sequence's name, so it does not matter how folders are nested: a year's
folder with HGG and LGG in it, cases side by side, or the folder of a single case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from limbeck.anatomy import MODALITY_ALIASES, Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.files import files
from limbeck.data.importers.patients import joined, patient
from limbeck.data.source import shown, stem, suffix
from limbeck.errors import DataError

EXPLANATION = "BraTS: files such as <case>_t1ce.nii.gz or, since 2023, <case>-t1c.nii.gz, in any folders"

_NAME = re.compile(r"(?P<case>.+)[_-](?P<role>[A-Za-z0-9]+)")
_SEGMENTATION = ("seg", "segm")
_SINCE_2023 = frozenset(("t1n", "t1c", "t2w", "t2f"))
_BEFORE_2023 = frozenset(("flair", "t1ce", "t2"))
# Folders below the one that is given: the year, the grade, the case, and one to spare.
_DEPTH = 4
# What other layouts call their images begins so.
_BIDS = "sub-"

_Roles = dict[Modality | None, list[Path]]


def detect(folder: Path) -> bool:
    """Whether a file below the folder is named as BraTS names its sequences."""
    return folder.is_dir() and any(isinstance(role, Modality) for _, _, role in _named(folder))


def find(folder: Path) -> list[Case]:
    """The cases below a folder, by name. No image is read.

    Where a `name_mapping.csv` lies below the folder too, cases that were one patient's in another year share a patient.

    Raises:
        DataError: two files claim the same role in a case, or two cases have the same name (a line for each), or a
            folder cannot be read.
    """
    cases: dict[tuple[Path, str], _Roles] = defaultdict(lambda: defaultdict(list))
    for path, name, role in _named(folder):
        cases[path.parent, name][role].append(path)
    _adopt_segmentations(cases)
    problems: list[str] = []
    found: dict[str, Case] = {}
    for (parent, name), roles in sorted(cases.items()):
        problems += _claimed_twice(name, roles)
        if name in found:
            problems.append(f"{shown(parent)}: case {name} lies in another folder too: give each case its own name")
        case = _case(name, roles)
        if case.images:
            found[name] = case
    if problems:
        raise DataError("\n".join(problems))
    return joined([found[name] for name in sorted(found)], _mappings(folder))


def naming(folder: Path) -> Naming:
    """What the style of the names says about label codes: since 2023, enhancing tumour is 3."""
    styles = {path_role(path) for path, _, role in _named(folder) if role is not None}
    later, earlier = styles & _SINCE_2023, styles & _BEFORE_2023
    if later and earlier:
        return Naming("", f"names of both styles, such as {min(earlier)} and {min(later)}")
    if later:
        return Naming("brats2023", f"names such as {min(later)}, in use since 2023")
    return Naming("brats2018", f"names such as {min(earlier)}, in use until 2022" if earlier else "no telling names")


def remark(folder: Path) -> str:
    """Which table joins cases to patients, if there is one."""
    tables = ", ".join(path.name for path in _mappings(folder))
    return f"cases of one patient are joined by {tables}" if tables else ""


def path_role(path: Path) -> str:
    """The last word of a file's name, in lower case: `t1ce` of `case_t1ce.nii.gz`."""
    match = _NAME.fullmatch(stem(path))
    return match["role"].lower() if match else ""


def _named(folder: Path) -> Iterator[tuple[Path, str, Modality | None]]:
    """Path, case and role (None for the segmentation) of every file whose name follows the pattern."""
    for path in files(folder, _DEPTH):
        match = _NAME.fullmatch(stem(path)) if suffix(path) else None
        if match is None or path.name.startswith(_BIDS):
            continue
        role = match["role"].lower()
        if role in _SEGMENTATION:
            yield path, match["case"], None
        elif role in MODALITY_ALIASES:
            yield path, match["case"], MODALITY_ALIASES[role]


def _adopt_segmentations(cases: dict[tuple[Path, str], _Roles]) -> None:
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


def _claimed_twice(name: str, roles: Mapping[Modality | None, list[Path]]) -> list[str]:
    return [
        f"{shown(paths[0])}: {paths[1].name} is {'segmentation' if role is None else role.role} of case {name} too: "
        "keep one of them"
        for role, paths in roles.items()
        if len(paths) > 1
    ]


def _case(name: str, roles: Mapping[Modality | None, list[Path]]) -> Case:
    images = {role: Source(roles[role][0]) for role in Modality if role in roles}
    return Case(name, patient(name), images, Source(roles[None][0]) if None in roles else None)


def _mappings(folder: Path) -> list[Path]:
    """Tables such as `name_mapping.csv` and `name_mapping_validation_data.csv`; cases lie one level deeper."""
    return sorted(
        path
        for path in files(folder, _DEPTH - 1)
        if path.name.lower().startswith("name_mapping") and path.suffix.lower() == ".csv"
    )
