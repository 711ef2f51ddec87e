"""Medical Segmentation Decathlon, Task01_BrainTumour: `dataset.json`, and all sequences of a case in one 4-D file.

The order of the channels and the meaning of the labels are read from the names in `dataset.json`, never assumed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality
from limbeck.data.case import Case, Source
from limbeck.errors import DataError, UsageError

EXPLANATION = "Medical Segmentation Decathlon: dataset.json beside imagesTr and labelsTr with 4-D files"

# Words of label names, the telling ones first: "non-enhancing" must be met before "enhancing".
_LABEL_WORDS = (
    ("background", Label.BACKGROUND),
    ("edema", Label.OEDEMA),
    ("oedema", Label.OEDEMA),
    ("resection", Label.RESECTION_CAVITY),
    ("non-enhancing", Label.NECROTIC_CORE),
    ("necro", Label.NECROTIC_CORE),
    ("enhancing", Label.ENHANCING),
)


def detect(folder: Path) -> bool:
    """Whether the folder has a `dataset.json` that names its modalities, as the Decathlon's files do."""
    path = folder / "dataset.json"
    # nnU-Net's file of the same name says "channel_names" instead.
    return path.is_file() and '"modality"' in path.read_text(encoding="utf-8", errors="replace")


def find(folder: Path) -> list[Case]:
    """The cases that `dataset.json` lists for training and test, by name. No image is read.

    Raises:
        DataError: `dataset.json` is no JSON, misses an entry, names a sequence that is none, or lists files that are
            not there; a line for each.
    """
    content = _content(folder)
    channels = _channels(folder, content)
    problems, cases = [], {}
    for entry in [*content.get("training", []), *content.get("test", [])]:
        image, labels = (entry["image"], entry.get("label")) if isinstance(entry, dict) else (entry, None)
        for name in (image, labels):
            if name is not None and not (folder / name).is_file():
                problems.append(
                    f"{folder / name}: listed in dataset.json and not there: bring it back, or take it off the list"
                )
        case = Path(image).name.removesuffix(".gz").removesuffix(".nii")
        images = {modality: Source(folder / image, channel) for modality, channel in sorted(channels.items())}
        cases[case] = Case(case, case, images, Source(folder / labels) if labels is not None else None)
    if problems:
        raise DataError("\n".join(problems))
    return [cases[name] for name in sorted(cases)]


def scheme(folder: Path) -> str:
    """The label scheme with the meanings that `dataset.json` gives its codes.

    Raises:
        DataError: a label's name is not understood, or no known scheme has these meanings.
    """
    path = folder / "dataset.json"
    codes: dict[int, Label] = {}
    for code, name in dict(_content(folder).get("labels", {})).items():
        meanings = [label for word, label in _LABEL_WORDS if word in str(name).lower()]
        if not meanings or not str(code).isdigit():
            raise DataError(
                f"{path}: label {code} is called {name!r}: expected a tumour tissue; give the scheme by name"
            )
        codes[int(code)] = meanings[0]
    for known, meaning in LABEL_SCHEMES.items():
        if codes == dict(meaning):
            return known
    raise DataError(f"{path}: its labels {codes} fit none of {', '.join(LABEL_SCHEMES)}; give the scheme by name")


def _content(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file: expected beside imagesTr") from error
    except ValueError as error:
        raise DataError(f"{path}: no valid JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("modality"), dict):
        raise DataError(f'{path}: no "modality" with the name of each channel')
    return content


def _channels(folder: Path, content: dict[str, Any]) -> dict[Modality, int]:
    channels: dict[Modality, int] = {}
    for channel, name in content["modality"].items():
        try:
            modality = Modality.parse(str(name))
        except UsageError as error:
            raise DataError(f"{folder / 'dataset.json'}: channel {channel}: {error}") from error
        if modality in channels:
            raise DataError(f"{folder / 'dataset.json'}: channels {channels[modality]} and {channel} are both {name}")
        channels[modality] = int(channel)
    return channels
