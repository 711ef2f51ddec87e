"""BraTS, 2017 to 2024: files named `<case>_flair.nii.gz` or, since 2023, `<case>-t2f.nii.gz`.

Cases are told apart by what stands before the sequence's name, so it does not matter how folders are nested: a year's
folder with HGG and LGG in it, cases side by side, or the folder of a single case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers.brats_names import Named, is_sequence, named
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.files import files
from limbeck.data.importers.patients import joined, patient
from limbeck.data.source import shown
from limbeck.errors import DataError

EXPLANATION = "BraTS: files such as <case>_t1ce.nii.gz or, since 2023, <case>-t1c.nii.gz, in any folders"

_SINCE_2023 = frozenset(("t1n", "t1c", "t2w", "t2f"))
_BEFORE_2023 = frozenset(("flair", "t1ce", "t2"))
# Folders below the one that is given: the year, the grade, the case, and one to spare.
_DEPTH = 4

_Roles = dict[Modality | None, list[Path]]
_Cases = dict[tuple[Path, str], _Roles]


def detect(folder: Path) -> bool:
    """Whether a file below the folder is named as BraTS names its sequences."""
    return folder.is_dir() and any(map(is_sequence, files(folder, _DEPTH)))


def find(folder: Path) -> list[Case]:
    """The cases below a folder, by name. No image is read.

    Where a `name_mapping.csv` lies below the folder too, cases that were one patient's in another year share a patient.

    Raises:
        DataError: a name leaves open what the file is, two files claim the same role in a case, or two cases have the
            same name (a line for each), or a folder cannot be read.
    """
    names = named(files(folder, _DEPTH))
    problems = list(names.problems)
    found: dict[str, Case] = {}
    for (parent, name), roles in sorted(_gathered(names)[0].items()):
        problems += _claimed_twice(name, roles)
        if name in found:
            problems.append(f"{shown(parent)}: case {name} lies in another folder too: give each case its own name")
        found[name] = _case(name, roles)
    if problems:
        raise DataError("\n".join(problems))
    return joined([found[name] for name in sorted(found)], _mappings(folder))


def naming(folder: Path) -> Naming:
    """What the style of the names says about label codes: since 2023, enhancing tumour is 3."""
    styles = {image.word for image in named(files(folder, _DEPTH)).images}
    later, earlier = styles & _SINCE_2023, styles & _BEFORE_2023
    if later and earlier:
        return Naming("", f"names of both styles, such as {min(earlier)} and {min(later)}")
    if earlier:
        return Naming("brats2018", f"names such as {min(earlier)}, in use until 2022")
    # The Decathlon and BIDS say t2w too, so alone it tells nothing.
    if later - {"t2w"}:
        return Naming("brats2023", f"names such as {min(later)}, in use since 2023")
    return Naming("", "no telling names")


def remark(folder: Path) -> str:
    """What was made of names that are not BraTS's own, and which table joins cases to patients."""
    names = named(files(folder, _DEPTH))
    remarks = []
    # The last of each sequence stands for all.
    joint = {image.modality: image for image in names.images if not image.word}
    if joint:
        read = (
            f"{shown(Path(one.path.name))} is {modality.role} of {one.case}" for modality, one in sorted(joint.items())
        )
        remarks.append(f"in two words, {', '.join(read)}")
    strays = _gathered(names)[1]
    if strays:
        example = shown(Path(strays[0].name))
        remarks.append(f"segmentations of no case are left aside ({len(strays)}, such as {example})")
    if tables := _mappings(folder):
        remarks.append(f"cases of one patient are joined by {', '.join(path.name for path in tables)}")
    return "; ".join(remarks)


def left_aside(folder: Path) -> list[Path]:
    """The volumes whose names say of no case and sequence that they are its own."""
    return named(files(folder, _DEPTH)).others


def _gathered(names: Named) -> tuple[_Cases, list[Path]]:
    """The files of each case, by its folder and name, and the segmentations that are of none.

    A segmentation may lie in another folder than its scans. In a folder that is named as its case, it may itself be
    named after something else: BraTS 2020 has W39_1998.09.19_Segm.nii in the folder of case 355.
    """
    cases: _Cases = defaultdict(lambda: defaultdict(list))
    for image in names.images:
        cases[image.path.parent, image.case][image.modality].append(image.path)
    homes = {name: (parent, name) for parent, name in cases}
    others = []
    for path, allowed in names.segmentations:
        likely = [key for name in allowed for key in ((path.parent, name), homes.get(name)) if key in cases]
        if likely:
            cases[likely[0]][None].append(path)
        else:
            others.append(path)
    without = {key for key, roles in cases.items() if None not in roles}
    strays = []
    for path in others:
        own = path.parent, path.parent.absolute().name
        if own in without:
            cases[own][None].append(path)
        else:
            strays.append(path)
    return cases, strays


def _claimed_twice(name: str, roles: Mapping[Modality | None, list[Path]]) -> list[str]:
    return [
        f"{shown(paths[0])}: {shown(paths[1])} is {'segmentation' if role is None else role.role} of case {name} too: "
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
