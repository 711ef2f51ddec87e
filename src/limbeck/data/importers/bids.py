"""BIDS: `sub-*/[ses-*/]anat/*_T1w.nii.gz`, with contrast `*_ce-gadolinium_T1w.nii.gz`, and masks among the derivatives.

A session is a case, a subject a patient. Of several runs the last is taken, since a scan is repeated where the one
before was no good; where files of one sequence differ in another way, it is for the user to choose.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.anatomy import MODALITY_ALIASES, Label, Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.files import files
from limbeck.data.importers.label_names import meaning, scheme_of
from limbeck.data.source import shown, stem, suffix
from limbeck.errors import DataError

EXPLANATION = "BIDS: sub-*/[ses-*/]anat/*_T1w, ce-*_T1w, T2w and FLAIR, the last of several runs; masks *_dseg"

_DERIVATIVES = "derivatives"
# What holds no images of the data set itself.
_LEAVE = (_DERIVATIVES, "sourcedata", "code", "stimuli", "phenotype")
# The folder of raw data, subject, session, anat.
_DEPTH = 5
_MASKS = ("dseg", "mask")
# Values of the entity `ce` that tell of no contrast agent.
_PLAIN = ("none", "no", "pre", "without")
# What a mask is of, by its entities `desc` and `label`.
_BRAIN = ("brain", "head", "skull")
_TUMOUR = ("tumo", "lesion", "glioma", "brats")

_Session = tuple[str, str]


@dataclass(frozen=True)
class _File:
    """A file by its name's parts: `sub-01_ce-gadolinium_T1w` has entities sub and ce and the word T1w at its end."""

    path: Path
    entities: dict[str, str]
    word: str

    @property
    def session(self) -> _Session:
        return self.entities["sub"], self.entities.get("ses", "")

    @property
    def contrast(self) -> bool:
        return self.entities.get("ce", _PLAIN[0]).lower() not in _PLAIN

    @property
    def modality(self) -> Modality | None:
        modality = MODALITY_ALIASES.get(self.word.lower())
        return Modality.T1CE if modality is Modality.T1 and self.contrast else modality

    @property
    def run(self) -> int:
        number = self.entities.get("run", "0")
        return int(number) if number.isdecimal() else 0

    @property
    def besides_run(self) -> dict[str, str]:
        return {key: value for key, value in self.entities.items() if key != "run"}

    def tells_of(self, words: Sequence[str]) -> bool:
        told = f"{self.entities.get('desc', '')} {self.entities.get('label', '')}".lower()
        return any(word in told for word in words)


def detect(folder: Path) -> bool:
    """Whether a file below the folder is named as BIDS names a sequence of a subject."""
    return folder.is_dir() and any(file.modality is not None for file in _files(folder, _LEAVE))


def find(folder: Path) -> list[Case]:
    """The sessions below a folder, by name. No image is read.

    Raises:
        DataError: of several files of one sequence, or several masks, none is the obvious one, or a mask may belong to
            several sessions; a line for each; or a folder cannot be read.
    """
    images: dict[_Session, dict[Modality, list[_File]]] = defaultdict(lambda: defaultdict(list))
    masks: dict[_Session, list[_File]] = defaultdict(list)
    tables = _tables(folder)
    for file in _all(folder):
        if file.modality is not None and not _derived(file.path, folder):
            images[file.session][file.modality].append(file)
        elif _may_be_tumour(file) and not _of_tissues(file, folder, tables):
            masks[file.session].append(file)
    problems: list[str] = []
    _spread_masks(masks, sorted(images), problems)
    cases = []
    for session in sorted(images):
        name = "_".join(f"{key}-{value}" for key, value in zip(("sub", "ses"), session, strict=True) if value)
        sources = {}
        for modality, candidates in sorted(images[session].items()):
            sources[modality] = Source(_chosen(_plainest(candidates, modality), name, modality.role, problems))
        there = _likeliest(masks[session])
        labels = Source(_chosen(there, name, "the segmentation", problems)) if there else None
        cases.append(Case(name, f"sub-{session[0]}", sources, labels))
    if problems:
        raise DataError("\n".join(problems))
    return cases


def naming(folder: Path) -> Naming:
    """The label scheme with the meanings that a `dseg.tsv` gives; without one BIDS says nothing about codes."""
    schemes: dict[str, Path] = {}
    for path in _below(folder):
        if path.name.lower().endswith("dseg.tsv") and (scheme := _scheme(path)):
            schemes.setdefault(scheme, path)
    if len(schemes) == 1:
        (scheme,) = schemes
        return Naming(scheme, f"as {schemes[scheme].name} names them", certain=True)
    told = " and ".join(f"{path} says {scheme}" for scheme, path in schemes.items())
    return Naming("", told or "names tell nothing of codes")


def remark(folder: Path) -> str:
    """Which masks are left aside though their names would do, and why."""
    tables = _tables(folder)
    aside = [
        f"{shown(Path(file.path.name))} ({tissue} in its dseg.tsv)"
        for file in _all(folder)
        if _may_be_tumour(file) and (tissue := _of_tissues(file, folder, tables))
    ]
    if not aside:
        return ""
    return f"left aside, as no segmentation of a tumour, {aside[0]}" + (
        f" and {len(aside) - 1} more" if len(aside) > 1 else ""
    )


def _scheme(table: Path) -> str | None:
    """The scheme of a table of labels; None if it is of other tissues."""
    codes: dict[int, Label] = {}
    for code, name in _labels(table):
        label = meaning(name)
        if label is None or not code.isdecimal():
            return None
        codes[int(code)] = label
    return scheme_of(codes)


def _labels(table: Path) -> list[tuple[str, str]]:
    """Code and name of each label in a table, as they stand there; none if it cannot be read."""
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            rows = [
                {str(key).lower(): value for key, value in row.items()}
                for row in csv.DictReader(stream, delimiter="\t")
            ]
    except (OSError, csv.Error):
        return []
    return [(str(row.get("index") or row.get("value")), str(row.get("name") or "")) for row in rows]


def _tables(folder: Path) -> dict[Path, list[tuple[Path, dict[str, str]]]]:
    """The tables of labels by their folders, each with the entities in its name: those with most of them first."""
    found: dict[Path, list[tuple[Path, dict[str, str]]]] = defaultdict(list)
    for path in _below(folder):
        if path.name.lower().endswith("dseg.tsv"):
            pairs = [part.split("-", 1) for part in path.name.split("_")[:-1]]
            found[path.parent].append((path, dict(pair for pair in pairs if len(pair) == 2)))
    for tables in found.values():
        tables.sort(key=lambda table: -len(table[1]))
    return found


def _may_be_tumour(file: _File) -> bool:
    return file.word in _MASKS and not file.tells_of(_BRAIN)


def _of_tissues(file: _File, folder: Path, tables: Mapping[Path, Sequence[tuple[Path, dict[str, str]]]]) -> str:
    """A label of a mask that no tumour has, such as grey matter, by the mask's own table; empty if there is none.

    A table is of the masks beside and below it that have all entities of its name; the nearest one counts.
    """
    if file.tells_of(_TUMOUR):
        return ""
    for place in file.path.parents:
        # What describes the data set itself describes no derivative of it.
        if place in tables and _derived(place, folder) == _derived(file.path, folder):
            for table, entities in tables[place]:
                if entities.items() <= file.entities.items():
                    return next((name for code, name in _labels(table) if code != "0" and _strange(name)), "")
    return ""


def _derived(path: Path, folder: Path) -> bool:
    return _DERIVATIVES in path.relative_to(folder).parts


def _strange(name: str) -> bool:
    return bool(name) and meaning(name) is None and not any(word in name.lower() for word in _TUMOUR)


def _all(folder: Path) -> Iterator[_File]:
    """The files of the data set and of its derivatives."""
    yield from _files(folder, _LEAVE)
    if (folder / _DERIVATIVES).is_dir():
        # One level more, for the name of what made them.
        yield from _files(folder / _DERIVATIVES, (), _DEPTH + 1)


def _below(folder: Path) -> Iterator[Path]:
    yield from files(folder, _DEPTH, _LEAVE)
    if (folder / _DERIVATIVES).is_dir():
        yield from files(folder / _DERIVATIVES, _DEPTH + 1)


def _files(folder: Path, leave: Sequence[str], depth: int = _DEPTH) -> Iterator[_File]:
    for path in files(folder, depth, leave):
        *parts, word = stem(path).split("_")
        pairs = [part.split("-", 1) for part in parts]
        if suffix(path) and parts and parts[0].startswith("sub-") and all(len(pair) == 2 for pair in pairs):
            entities = dict(pairs)
            # Of complex images only the magnitude looks like what it shows.
            if entities.get("part", "mag") == "mag":
                yield _File(path, entities, word)


def _spread_masks(masks: dict[_Session, list[_File]], sessions: Sequence[_Session], problems: list[str]) -> None:
    """Give masks that name no session to the subject's only one."""
    by_subject: dict[str, list[_Session]] = defaultdict(list)
    for session in sessions:
        by_subject[session[0]].append(session)
    for subject, own in by_subject.items():
        if (subject, "") in own or not masks.get((subject, "")):
            continue
        homeless = masks.pop((subject, ""))
        if len(own) == 1:
            masks[own[0]] += homeless
        else:
            problems.append(
                f"{homeless[0].path}: names no session, and sub-{subject} has {len(own)}: name it with ses-{own[0][1]} "
                "or another"
            )


def _plainest(candidates: Sequence[_File], modality: Modality) -> list[_File]:
    """For T2 and FLAIR, the files from before the contrast agent, if there are any."""
    plain = [file for file in candidates if modality is Modality.T1CE or not file.contrast]
    return plain or list(candidates)


def _likeliest(candidates: Sequence[_File]) -> list[_File]:
    """Of several masks those that are said to be of a tumour, and of these segmentations before masks of one thing."""
    told = [file for file in candidates if file.tells_of(_TUMOUR)] or list(candidates)
    return [file for file in told if file.word == _MASKS[0]] or told


def _chosen(candidates: Sequence[_File], case: str, role: str, problems: list[str]) -> Path:
    """The file with the last run, of files that differ in nothing else."""
    first = candidates[0]
    for other in candidates[1:]:
        if other.besides_run != first.besides_run or other.run == first.run:
            problems.append(
                f"{first.path}: {other.path.relative_to(other.path.parents[1])} is {role} of {case} too: keep one of "
                "them, or list the wanted files in a table"
            )
            break
    return max(candidates, key=lambda file: file.run).path
