"""Medical Segmentation Decathlon, Task01_BrainTumour: `dataset.json`, and all sequences of a case in one 4-D file.

The order of the channels and the meaning of the labels are read from the names in `dataset.json`, never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.data.case import Case, Source
from limbeck.data.importers import dataset_json, nnunet
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.patients import patient
from limbeck.data.source import shown, stem
from limbeck.errors import DataError

EXPLANATION = "Medical Segmentation Decathlon: dataset.json beside imagesTr and labelsTr with 4-D files"


def detect(folder: Path) -> bool:
    """Whether the folder has a `dataset.json` that names its modalities, as the Decathlon's files do."""
    return dataset_json.mentions(folder, "modality") and not nnunet.detect(folder)


def find(folder: Path) -> list[Case]:
    """The cases that `dataset.json` lists for training and test, by name. No image is read.

    Raises:
        DataError: `dataset.json` is no JSON, misses an entry, names a sequence that is none, lists a case twice, or
            lists files that are not there; a line for each.
    """
    content = dataset_json.read(folder)
    channels = dataset_json.channels(
        folder, dataset_json.section(folder, content, "modality", "the name of each channel")
    )
    problems: list[str] = []
    cases: dict[str, Case] = {}
    for image, labels in _listed(folder, content):
        problems += dataset_json.missing(folder, [image, *([labels] if labels else [])])
        case = stem(Path(image))
        images = {modality: Source(folder / image, channel) for modality, channel in sorted(channels.items())}
        if case in cases:
            problems.append(
                f"{shown(folder / dataset_json.NAME)}: case {case} is listed twice, as {image} the second time: "
                "keep one of them"
            )
        cases[case] = Case(case, patient(case), images, Source(folder / labels) if labels else None)
    if problems:
        raise DataError("\n".join(problems))
    return [cases[name] for name in sorted(cases)]


def naming(folder: Path) -> Naming:
    """The label scheme with the meanings that `dataset.json` gives its codes.

    Raises:
        DataError: a label's name is not understood, or no known scheme has these meanings.
    """
    scheme = dataset_json.scheme(folder, dataset_json.read(folder).get("labels"))
    return Naming(scheme, "as dataset.json names them", certain=True)


def _listed(folder: Path, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Image and segmentation (empty if there is none) of every case on the lists."""
    found = []
    for part in ("training", "test"):
        entries = content.get(part, [])
        if not isinstance(entries, list):
            raise DataError(f'{shown(folder / dataset_json.NAME)}: "{part}" is no list: expected one entry a case')
        for entry in entries:
            image, labels = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
            if not isinstance(image, str) or not isinstance(labels, str | None):
                raise DataError(
                    f'{shown(folder / dataset_json.NAME)}: "{part}" lists {entry!r}: expected paths of files'
                )
            found.append((image, labels or ""))
    return found
