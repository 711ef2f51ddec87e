"""`dataset.json`, with which the Medical Segmentation Decathlon and nnU-Net describe a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality
from limbeck.data.importers.label_names import meaning, scheme_of
from limbeck.data.source import shown
from limbeck.errors import DataError, UsageError

NAME = "dataset.json"


def mentions(folder: Path, *keys: str) -> bool:
    """Whether the folder has a `dataset.json` with one of these words in quotes; it need not be valid.

    Raises:
        DataError: the file cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        return False
    text = _text(path)
    return any(f'"{key}"' in text for key in keys)


def read(folder: Path) -> dict[str, Any]:
    """The content of `dataset.json`.

    Raises:
        DataError: it is missing, cannot be read, or holds no JSON object.
    """
    path = folder / NAME
    if not path.is_file():
        raise DataError(f"{shown(path)}: no such file: expected beside imagesTr")
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)}: no valid JSON ({error}): export it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{shown(path)}: holds a {type(content).__name__}: expected an object with names and values")
    return content


def section(folder: Path, content: Mapping[str, Any], key: str, what: str) -> dict[str, Any]:
    """The part of the content under a key, which must be an object.

    Raises:
        DataError: it is missing or something else.
    """
    part = content.get(key)
    if not isinstance(part, dict):
        raise DataError(f'{shown(folder / NAME)}: no "{key}" with {what}: expected an object')
    return part


def missing(folder: Path, listed: Sequence[str]) -> list[str]:
    """A line for each path on a list that no file has."""
    return [
        f"{shown(folder / path)}: listed in dataset.json and not there: bring it back, or take it off the list"
        for path in listed
        if not _is_file(folder / path)
    ]


def channels(folder: Path, names: Mapping[str, Any]) -> dict[Modality, int]:
    """The channel of each sequence, of channel numbers and the names they have.

    Raises:
        DataError: a number is none, a name is no sequence's, or two channels are the same sequence.
    """
    path, found = folder / NAME, dict[Modality, int]()
    for channel, name in names.items():
        if not channel.isdecimal():
            raise DataError(f"{shown(path)}: channel {channel!r} is no number: expected 0, 1, 2, 3 and a name each")
        try:
            modality = Modality.parse(str(name).replace(" ", ""))
        except UsageError as error:
            raise DataError(f"{shown(path)}: channel {channel}: {error}") from error
        if modality in found:
            raise DataError(
                f"{shown(path)}: channels {found[modality]} and {channel} are both {modality.role}: keep one"
            )
        found[modality] = int(channel)
    return found


def scheme(folder: Path, labels: Any) -> str:
    """The label scheme of the `labels` in a `dataset.json`: a name for each code, or a code or codes for each name.

    Raises:
        DataError: a label's name is not understood, or no known scheme has these meanings.
    """
    path = folder / NAME
    if not isinstance(labels, dict) or not labels:
        raise DataError(f'{shown(path)}: no "labels" with the meaning of each code: choose with --labels')
    codes = _by_region(labels)
    if codes is None:
        codes = dict(_by_label(path, labels))
    known = scheme_of(codes)
    if known is None:
        listed = ", ".join(f"{code} {label.title}" for code, label in sorted(codes.items()))
        raise DataError(
            f"{shown(path)}: its labels ({listed}) fit none of {', '.join(LABEL_SCHEMES)}: choose with --labels, "
            "or code the segmentations anew"
        )
    return known


def _by_label(path: Path, labels: Mapping[str, Any]) -> list[tuple[int, Label]]:
    found = []
    for key, value in labels.items():
        # Version 1 and the Decathlon say "1": "edema", version 2 says "edema": 1.
        code, name = (key, value) if key.isdecimal() else (value, key)
        label = meaning(str(name))
        if label is None or not str(code).isdecimal():
            raise DataError(
                f"{shown(path)}: label {code} is called {name!r}: expected a tumour tissue; choose with --labels"
            )
        found.append((int(code), label))
    return found


def _by_region(labels: Mapping[str, Any]) -> dict[int, Label] | None:
    """Codes of regions that lie within one another: whole tumour [1, 2, 3], tumour core [2, 3], enhancing 3.

    None if they are not given so, or a tissue is not left with one code.
    """
    regions: dict[str, frozenset[int]] = {}
    others: dict[int, Label] = {}
    for name, value in labels.items():
        codes = frozenset(code for code in (value if isinstance(value, list) else [value]) if isinstance(code, int))
        region = next((word for word in ("whole", "core", "enhancing") if word in name.lower()), None)
        label = meaning(name)
        if region is not None:
            regions[region] = codes
        elif label is not None and len(codes) == 1:
            others[min(codes)] = label
        else:
            return None
    if set(regions) != {"whole", "core", "enhancing"}:
        return None
    whole, core, enhancing = regions["whole"], regions["core"], regions["enhancing"]
    tissues = ((Label.OEDEMA, whole - core), (Label.NECROTIC_CORE, core - enhancing), (Label.ENHANCING, enhancing))
    if any(len(codes) != 1 for _, codes in tissues):
        return None
    return {**others, **{min(codes): label for label, codes in tissues}}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # No file can have so long a name.
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}): check its permissions") from error
