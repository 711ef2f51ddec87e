"""Real patients written in every way: which masks are the same, and what each step of a change of grid costs.

python benchmarks/any_way.py RUN --real FOLDER                                all of it: an hour or so
python benchmarks/any_way.py RUN --real FOLDER --only header --patients 1    some ways, quickly

RUN is a run of all four sequences. The ways and grids are those of `tests/real`; the scans are whole here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from carried import Lattice, carried, carry, coarsened, lattices, own, sharply_carried, shifted
from rewritten import Way, straight, ways
from scans import Patient, dice, patients

from limbeck.data.geometry import Geometry
from limbeck.data.grid import Grid
from limbeck.inference.model import Model

CARRIED = "carried"
_COLUMNS = (
    "mask against the straight one",
    "with cubic interpolation",
    "straight grid, interpolated images",
    "most that the grid can hold",
    "labels, ours against SciPy's",
)


def main() -> None:
    """Measure and print."""
    groups = list(dict.fromkeys(way.group for way in ways()))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="RUN")
    parser.add_argument("--real", type=Path, default=os.environ.get("LIMBECK_REAL_DATA"), help="LIMBECK_REAL_DATA")
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--only", choices=[*groups, CARRIED], help="one group of ways, or the other grids")
    arguments = parser.parse_args()
    if arguments.real is None or not Path(arguments.real).is_dir():
        parser.error("no real cases: set LIMBECK_REAL_DATA to their folder")
    found = patients(Path(arguments.real))[: arguments.patients]
    print(f"{len(found)} patients, {arguments.model.name}, {time.strftime('%Y-%m-%d')}")
    if arguments.only != CARRIED:
        _print_exact(arguments.model, found, [arguments.only] if arguments.only else groups)
    if arguments.only in (None, CARRIED):
        _print_carried(Model.load(arguments.model), found)


def _print_exact(model: Path, found: list[Patient], groups: list[str]) -> None:
    """A row for each group of ways: how many masks are the straight one."""
    print("\n| ways | of them | masks | the same | not the same |\n|---|--:|--:|--:|---|")
    references = [_predicted(model, straight(), patient) for patient in found]
    for group in groups:
        members = [way for way in ways() if way.group == group]
        odd = list(_odd(model, members, found, references))
        masks = len(members) * len(found)
        print(f"| {group} | {len(members)} | {masks} | {masks - len(odd)} | {'; '.join(odd) or '-'} |", flush=True)


def _odd(
    model: Path, members: Iterable[Way], found: list[Patient], references: list[NDArray[np.uint8]]
) -> Iterator[str]:
    """The masks that differ, in words."""
    for way in members:
        for patient, reference in zip(found, references, strict=True):
            mask = _predicted(model, way, patient)
            if not np.array_equal(mask, reference):
                worst = min(dice(mask, reference).values())
                yield f"{way.name}, {patient.name}: {int((mask != reference).sum())} voxels, Dice {worst:.3f}"


def _predicted(model: Path, way: Way, patient: Patient) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return way.predicted(model, patient, Path(folder))


def _print_carried(model: Model, found: list[Patient]) -> None:
    """A row for each grid: mean Dice over the patients, of WT, TC and ET and all three."""
    straights = [_segmented(model, patient) for patient in found]
    print("\nDice of WT / TC / ET, mean over the patients; of the three and all patients the mean and the lowest")
    print("\n| grid |", " | ".join(_COLUMNS), "|\n|---|" + "---|" * len(_COLUMNS))
    whole = [dice(mask, patient.labels) for mask, patient in zip(straights, found, strict=True)]
    print(f"| straight, against the reference | {_cell(whole)} |" + " |" * (len(_COLUMNS) - 1))
    moved = [
        dice(_segmented(model, shifted(patient))[1:, 1:, 1:], mask)
        for patient, mask in zip(found, straights, strict=True)
    ]
    print(f"| an empty voxel more on three sides | {_cell(moved)} |" + " |" * (len(_COLUMNS) - 1), flush=True)
    for row in zip(*(list(lattices(patient)) for patient in found), strict=True):
        cells = [
            _compared(model, patient, lattice, mask)
            for patient, lattice, mask in zip(found, row, straights, strict=True)
        ]
        columns = " | ".join(_cell(column) for column in zip(*cells, strict=True))
        print(f"| {row[0].name} | {columns} |", flush=True)


def _compared(model: Model, patient: Patient, lattice: Lattice, mask: NDArray[np.uint8]) -> list[dict[str, float]]:
    """What `_COLUMNS` say, for one patient and grid."""
    home = own(patient)
    linear, sharp = carried(patient, lattice), sharply_carried(patient, lattice)
    images_back = carried(linear, home)
    geometry = Geometry.of(Grid.of(linear.labels.shape, lattice.affine), model.members[0].card.spacing_mm)
    shape = tuple(geometry.shape[geometry.axes.index(axis)] for axis in range(3))
    ours = geometry.labels_to_native(geometry.labels_to_model(linear.labels))
    return [
        dice(carry(_segmented(model, linear), lattice.affine, home, order=0), mask),
        dice(carry(_segmented(model, sharp), lattice.affine, home, order=0), mask),
        dice(_segmented(model, images_back), mask),
        dice(carry(carry(mask, patient.affine, lattice, order=0), lattice.affine, home, order=0), mask),
        dice(ours, coarsened(coarsened(linear.labels, shape), linear.labels.shape)),
    ]


def _segmented(model: Model, patient: Patient) -> NDArray[np.uint8]:
    """A mask in the codes of BraTS 2018."""
    images = {modality.role: (image, patient.affine) for modality, image in patient.images.items()}
    labels = model.segment(images).labels
    return np.where(labels == 3, 4, labels).astype(np.uint8)


def _cell(found: Iterable[dict[str, float]]) -> str:
    values = list(found)
    regions = " / ".join(f"{fmean(one[region] for one in values):.3f}" for region in values[0])
    means = [fmean(one.values()) for one in values]
    return f"{regions}; {fmean(means):.3f}, {min(means):.3f}"


if __name__ == "__main__":
    main()
