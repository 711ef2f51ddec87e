"""nnU-Net's raw data: `dataset.json`, and a file for each channel of a case, `imagesTr/<case>_0000.nii.gz`.

Which channel is which sequence, and what the codes of the labels mean, are read from `dataset.json`: exports of BraTS
are about in both orders of the labels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers import dataset_json
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.files import files
from limbeck.data.importers.patients import patient
from limbeck.data.source import SUFFIXES, shown, stem, suffix
from limbeck.errors import DataError

EXPLANATION = "nnU-Net's raw data: dataset.json with channel_names, and imagesTr/<case>_0000.nii.gz"

# Training, and what was kept back for a test.
_PAIRS = (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def detect(folder: Path) -> bool:
    """Whether the folder has a `dataset.json` with channel names, or an older one and a file for each channel."""
    if dataset_json.mentions(folder, "channel_names"):
        return True
    return dataset_json.mentions(folder, "modality") and any(True for _ in _channel_files(folder / "imagesTr", ""))


def find(folder: Path) -> list[Case]:
    """The cases in `imagesTr` and `imagesTs`, by name; channels whose file is not there are missing sequences.

    Raises:
        DataError: `dataset.json` is no JSON, misses an entry, names a sequence that is none; a file has a channel that
            has no name; a case is in both folders; a file is listed that is not there; a line for each.
    """
    content = dataset_json.read(folder)
    names = content.get("channel_names", content.get("modality"))
    named = dataset_json.section(folder, {"channel_names": names}, "channel_names", "the name of each channel")
    roles = {channel: modality for modality, channel in dataset_json.channels(folder, named).items()}
    problems: list[str] = []
    if isinstance(content.get("dataset"), dict):
        cases = _listed(folder, content["dataset"], roles, problems)
    else:
        cases = _lying(folder, _ending(folder, content), roles, problems)
    if problems:
        raise DataError("\n".join(problems))
    return [cases[name] for name in sorted(cases)]


def naming(folder: Path) -> Naming:
    """The label scheme with the meanings that `dataset.json` gives its codes, region by region or label by label.

    Raises:
        DataError: a label's name is not understood, or no known scheme has these meanings.
    """
    scheme = dataset_json.scheme(folder, dataset_json.read(folder).get("labels"))
    return Naming(scheme, "as dataset.json names them", certain=True)


def _lying(folder: Path, ending: str, roles: Mapping[int, Modality], problems: list[str]) -> dict[str, Case]:
    """The cases that lie in the folders."""
    cases: dict[str, Case] = {}
    for images, labels in _PAIRS:
        found: dict[str, dict[Modality, Source]] = defaultdict(dict)
        for path, case, channel in _channel_files(folder / images, ending):
            if channel not in roles:
                problems.append(
                    f"{shown(path)}: channel {channel} has no name in dataset.json: name it, or take the file away"
                )
            elif roles[channel] in found[case]:
                problems.append(
                    f"{shown(path)}: {found[case][roles[channel]].path.name} is the same channel: keep one of them"
                )
            else:
                found[case][roles[channel]] = Source(path)
        for case, sources in found.items():
            if case in cases:
                problems.append(f"{shown(folder / images)}: case {case} is in {_PAIRS[0][0]} too: keep one of them")
            reference = _labels(folder / labels, case, ending)
            cases[case] = Case(case, patient(case), dict(sorted(sources.items())), reference)
    return cases


def _listed(
    folder: Path, entries: Mapping[str, Any], roles: Mapping[int, Modality], problems: list[str]
) -> dict[str, Case]:
    """The cases that `dataset.json` lists with the paths of their files."""
    cases = {}
    for case, entry in entries.items():
        images, labels = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        paths: list[Any] = [*images, *([labels] if labels else [])] if isinstance(images, list) else []
        if not paths or not all(isinstance(path, str) for path in paths):
            problems.append(
                f"{shown(folder / dataset_json.NAME)}: case {case} is {entry!r}: expected images and a label"
            )
            continue
        problems += dataset_json.missing(folder, paths)
        sources = {
            roles[channel]: Source(folder / path) for channel, path in enumerate(images or ()) if channel in roles
        }
        reference = Source(folder / labels) if labels else None
        cases[case] = Case(case, patient(case), dict(sorted(sources.items())), reference)
    return cases


def _channel_files(folder: Path, ending: str) -> Iterator[tuple[Path, str, int]]:
    """Path, case and channel of each image in a folder."""
    if not folder.is_dir():
        return
    for path in files(folder, 1):
        match = _CHANNEL.fullmatch(stem(path)) if suffix(path) and path.name.endswith(ending) else None
        if match:
            yield path, match["case"], int(match["channel"])


def _labels(folder: Path, case: str, ending: str) -> Source | None:
    there = (folder / f"{case}{known}" for known in ((ending,) if ending else SUFFIXES))
    return next((Source(path) for path in there if path.is_file() or path.is_symlink()), None)


def _ending(folder: Path, content: Mapping[str, Any]) -> str:
    ending = content.get("file_ending", "")
    if not isinstance(ending, str) or (ending and not suffix(Path(f"case{ending}"))):
        raise DataError(
            f"{shown(folder / dataset_json.NAME)}: file_ending {ending!r}: expected .nii.gz or a format that is read"
        )
    return ending
