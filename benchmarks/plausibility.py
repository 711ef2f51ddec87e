"""How often `limbeck.data.plausibility` is right about synthetic patients.

python benchmarks/plausibility.py                            40 patients at 2 mm that no threshold was chosen on
python benchmarks/plausibility.py --expected --seed 100      what `limbeck.data.likeness.EXPECTED` was taken from
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Subset
from limbeck.data.coarse import Coarse
from limbeck.data.grid import Grid
from limbeck.data.likeness import measure
from limbeck.data.plausibility import doubts
from limbeck.phantom.patient import make

# Added to the deviation of each measure, as the root of the sum of squares: real scanners differ more than ours.
_WIDER = 0.1
Images = Mapping[Modality, NDArray[np.float32]]


def patients(count: int, seed: int, spacing: float) -> Iterator[tuple[Images, Grid]]:
    """Whole numbers, as files hold them."""
    for index in range(count):
        images = make(seed, index, spacing).images
        shape = images[Modality.T1].shape
        grid = Grid.of((shape[0], shape[1], shape[2]), np.diag([-spacing, -spacing, spacing, 1.0]))
        yield {modality: np.rint(image) for modality, image in images.items()}, grid


def expected(count: int, seed: int, spacing: float) -> None:
    """Mean and widened deviation of every measure."""
    found: dict[tuple[str, Modality, Modality], list[float]] = {}
    for images, grid in patients(count, seed, spacing):
        for key, value in (measure(Coarse.of(images, grid)) or {}).items():
            found.setdefault(key, []).append(value)
    for (kind, one, two), values in found.items():
        name = f"{kind}({one.role})" if one is two else f"{kind}({one.role}, {two.role})"
        print(f"| {name} | {np.mean(values):.2f} | {np.hypot(np.std(values), _WIDER):.2f} |")


def rates(count: int, seed: int, spacing: float) -> None:
    """False alarms by the number of sequences, and how often each mistake is told for what it is."""
    right: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for images, grid in patients(count, seed, spacing):
        for subset in Subset.every():
            what = f"false alarms, {len(subset)} given"
            tried[what] += 1
            right[what] += bool(doubts({modality: images[modality] for modality in subset}, grid))
        for what, spoilt, words in mistakes(images):
            tried[what] += 1
            right[what] += [doubt.what for doubt in doubts(spoilt, grid)] == [words]
    for what in tried:
        print(f"| {what} | {right[what]} of {tried[what]} |")


def mistakes(images: Images) -> Iterator[tuple[str, Images, str]]:
    """Each with its name and the words that would tell it."""
    for one, two in combinations(Modality, 2):
        words = f"{one.role} and {two.role} look swapped"
        yield words.replace(" look", ""), {**images, one: images[two], two: images[one]}, words
    three = {modality: image for modality, image in images.items() if modality is not Modality.T2}
    for modality in three:
        words = f"{modality.role} looks like a t2 image"
        yield f"t2 given as {modality.role}, no t2", {**three, modality: images[Modality.T2]}, words
    for modality in Modality:
        words = f"{modality.role} looks mirrored (left-right) against the other sequences"
        yield f"{modality.role} mirrored", {**images, modality: images[modality][::-1]}, words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--spacing", type=float, default=2.0)
    parser.add_argument("--expected", action="store_true", help="the measures themselves")
    words = parser.parse_args()
    print("| what | mean | deviation |\n|---|---|---|" if words.expected else "| what | told |\n|---|---|")
    (expected if words.expected else rates)(words.cases, words.seed, words.spacing)
