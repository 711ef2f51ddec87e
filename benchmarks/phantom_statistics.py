"""How much phantoms resemble what is known of patients: published figures, and statistics of real cases beside theirs.

python benchmarks/phantom_statistics.py --phantoms COHORT [--real COHORT COHORT ...] --out statistics.md

Cohorts are made by `limbeck import` with one spacing. First come figures from the literature beside those of the
phantoms: of the cohort where labels tell them, else of heads, tumours and examinations drawn as the phantoms' are.
Then each statistic of a real case is placed among those of the phantoms: its percentile says whether a network that
has seen these phantoms has seen the like of it. Nothing is fitted, and no image is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from published_figures import EXAMINATIONS, Drawn, anatomies, examinations, published
from scipy import ndimage
from scipy.stats import skew, wasserstein_distance

from limbeck.anatomy import Label, Modality, Region
from limbeck.data.cohort import Cohort
from limbeck.data.cohort_case import CohortCase

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Statistics = dict[str, float]

# Fewer voxels say little of a tissue's mean and spread.
FEWEST = 30
# Octaves of wavelength in mm, by the standard deviations of the Gaussians that bound them.
BANDS = {"below 6 mm": (0.0, 1.5), "6 to 12 mm": (1.5, 3.0), "12 to 24 mm": (3.0, 6.0), "24 to 48 mm": (6.0, 12.0)}
# Of a histogram: what lies between the fractions of the phantoms counts as spanned.
SPANNED = (0.01, 0.99)
SMALLEST_FOCUS_ML = 0.2


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="+", default=[], help="without it, published figures alone")
    parser.add_argument("--most", type=int, default=200, help="phantoms looked at")
    parser.add_argument("--heads", type=int, default=60, help="heads drawn for their volumes")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cohort = Cohort.open(arguments.phantoms)
    phantoms = cohort.cases[: arguments.most]
    real = [case for folder in arguments.real for case in Cohort.open(folder).cases]
    drawn = {**examinations(EXAMINATIONS), **anatomies(arguments.heads), **tumours(phantoms, cohort.spacing_mm)}
    lines = [*published(drawn), *(compared(phantoms, real, cohort.spacing_mm) if real else ())]
    text = "\n".join(lines)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def tumours(phantoms: Sequence[CohortCase], spacing_mm: float) -> Drawn:
    """What the cohort's labels tell: shares of patients as noughts and ones, and volumes in ml."""
    found: dict[str, list[float]] = {name: [] for name in ("plain", "several", "ET ml", "TC ml")}
    for case in phantoms:
        labels = case.labels()
        assert labels is not None
        shape = _shape(np.asarray(labels), spacing_mm)
        enhances = shape["ET: volume, ml"] > 0
        found["plain"].append(float(not enhances))
        if enhances:
            found["several"].append(float(shape.get("TC: foci", 1) > 1))
            found["ET ml"].append(shape["ET: volume, ml"])
            found["TC ml"].append(shape["TC: volume, ml"])
    return {name: np.array(values) for name, values in found.items()}


def compared(phantoms: Sequence[CohortCase], real: Sequence[CohortCase], spacing_mm: float) -> Iterator[str]:
    """Lines of the comparison in Markdown."""
    ours = [statistics(case, spacing_mm) for case in phantoms]
    theirs = {case.id: statistics(case, spacing_mm) for case in real}
    names = list(dict.fromkeys(name for found in (*ours, *theirs.values()) for name in found))
    yield f"{len(phantoms)} phantoms and {len(real)} real cases at {spacing_mm:g} mm. In brackets the percentile of"
    yield "each real case among the phantoms; * outside the middle 98 %.\n"
    yield "| statistic | phantoms: 5 %, median, 95 % | " + " | ".join(theirs) + " |"
    yield "|---|---|" + "---|" * len(theirs)
    spanned = dict.fromkeys(theirs, 0)
    counted = dict(spanned)
    for name in names:
        values = np.array([found[name] for found in ours if name in found])
        if not len(values):
            continue
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
        cells = []
        for case, found in theirs.items():
            if name not in found:
                cells.append("")
                continue
            place = float(np.mean(values < found[name]) + np.mean(values == found[name]) / 2)
            inside = SPANNED[0] <= place <= SPANNED[1]
            spanned[case] += inside
            counted[case] += 1
            cells.append(f"{found[name]:.2f} ({100 * place:.0f}{'' if inside else ' *'})")
        yield f"| {name} | {low:.2f}, {middle:.2f}, {high:.2f} | " + " | ".join(cells) + " |"
    shares = " | ".join(f"{spanned[case]} of {counted[case]}" for case in theirs)
    yield f"| within the middle 98 % | | {shares} |\n"
    yield from _histograms(phantoms, real)


def statistics(case: CohortCase, spacing_mm: float) -> Statistics:
    """Every statistic of a case by name."""
    labels = case.labels()
    assert labels is not None
    labels = np.asarray(labels)
    images = {m: np.asarray(case.images(m), dtype=np.float32) for m in Modality if case.present[m]}
    brain = np.any([image != 0 for image in images.values()], axis=0)
    healthy = brain & ~ndimage.binary_dilation(labels > 0, iterations=max(1, round(6 / spacing_mm)))
    found: Statistics = {}
    for modality, image in images.items():
        found |= _intensities(modality.role, image, labels, healthy)
        found |= _texture(modality.role, image, healthy & (image != 0), spacing_mm)
    return found | _shape(labels, spacing_mm)


def _intensities(role: str, image: Image, labels: NDArray[np.uint8], healthy: Mask) -> Statistics:
    """Healthy brain's histogram in its own z-score, tissues in standard deviations of it, and contrasts.

    A contrast is where a tissue's mean lies between the dark end of healthy brain, 0, and its bright end, 1, the 10 and
    90 % of its histogram: that does not depend on the scale or the offset of the image, as a ratio of signals does.
    """
    normal = image[healthy & (image != 0)]
    mean, spread = float(normal.mean()), float(normal.std())
    z = (normal - mean) / spread
    found = {f"{role}: healthy, {name}": value for name, value in _quantiles(z).items()}
    found[f"{role}: healthy, skewness"] = float(skew(z))
    low, high = (float(np.quantile(normal, q)) for q in (0.1, 0.9))
    tissues = {"necrotic core": Label.NECROTIC_CORE, "oedema": Label.OEDEMA, "enhancing": Label.ENHANCING}
    for name, label in tissues.items():
        inside = image[(labels == label) & (image != 0)]
        if len(inside) >= FEWEST:
            found[f"{role}: {name}, mean"] = float(inside.mean() - mean) / spread
            found[f"{role}: {name}, spread"] = float(inside.std()) / spread
            found[f"{role}: {name}, contrast"] = (float(inside.mean()) - low) / (high - low)
    return found


def _quantiles(z: Image) -> Statistics:
    return {f"{100 * q:g} %": float(np.quantile(z, q)) for q in (0.01, 0.1, 0.5, 0.9, 0.99)}


def _texture(role: str, image: Image, inside: Mask, spacing_mm: float) -> Statistics:
    """Share of healthy brain's variance in each octave; masked Gaussians, so that the border adds nothing."""
    smooth = {sigma: _masked_blur(image, inside, sigma / spacing_mm) for band in BANDS.values() for sigma in band}
    powers = {name: float((smooth[fine] - smooth[wide])[inside].var()) for name, (fine, wide) in BANDS.items()}
    total = sum(powers.values())
    return {f"{role}: variance {name}": power / total for name, power in powers.items()}


def _masked_blur(image: Image, inside: Mask, sigma: float) -> Image:
    if sigma == 0:
        return image
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    blurred = ndimage.gaussian_filter(np.where(inside, image, 0), sigma) / np.maximum(weight, 1e-3)
    return np.asarray(blurred, dtype=np.float32)


def _shape(labels: NDArray[np.uint8], spacing_mm: float) -> Statistics:
    """Volumes, how compact the regions are, how many foci, and how the parts share the tumour."""
    litre = spacing_mm**3 / 1000
    found: Statistics = {}
    volumes = {}
    for region in Region:
        inside = np.isin(labels, [int(label) for label in region.labels])
        volumes[region] = float(inside.sum()) * litre
        found[f"{region.name}: volume, ml"] = volumes[region]
        if inside.sum() >= FEWEST:
            found[f"{region.name}: compactness"] = compactness(inside)
            pieces, count = ndimage.label(inside)
            sizes = ndimage.sum_labels(inside, pieces, range(1, count + 1)) * litre
            found[f"{region.name}: foci"] = float((np.asarray(sizes) >= SMALLEST_FOCUS_ML).sum())
    found["TC / WT"] = volumes[Region.TC] / max(volumes[Region.WT], litre)
    found["ET / TC"] = volumes[Region.ET] / max(volumes[Region.TC], litre)
    return found


def compactness(inside: Mask) -> float:
    """Surface of a ball of the same volume over the region's own: 1 for a ball, less for anything else.

    Faces of voxels are half as many again as a smooth surface has area, for a ball of any size.
    """
    faces = sum(int(np.count_nonzero(np.diff(np.pad(inside, 1).astype(np.int8), axis=axis))) for axis in range(3))
    ball = np.pi ** (1 / 3) * (6 * float(inside.sum())) ** (2 / 3)
    return float(ball / (faces / 1.5))


def _histograms(phantoms: Sequence[CohortCase], real: Sequence[CohortCase]) -> Iterator[str]:
    """How far a real case's histogram lies from the nearest phantoms', against how far phantoms lie from each other."""
    yield "Distance of the brain's histogram to that of the nearest phantom (Wasserstein, in standard deviations), and"
    yield "that of a phantom to its nearest other.\n"
    yield "| sequence | phantoms: median, 95 % | " + " | ".join(case.id for case in real) + " |"
    yield "|---|---|" + "---|" * len(real)
    for modality in Modality:
        ours = [_profile(case, modality) for case in phantoms if case.present[modality]]
        theirs = {case.id: _profile(case, modality) for case in real if case.present[modality]}
        near = [min(_apart(one, other) for other in ours if other is not one) for one in ours]
        distances = {case: min(_apart(profile, other) for other in ours) for case, profile in theirs.items()}
        cells = [f"{distances[case.id]:.3f}" if case.id in distances else "" for case in real]
        yield f"| {modality.role} | {np.median(near):.3f}, {np.quantile(near, 0.95):.3f} | " + " | ".join(cells) + " |"


def _profile(case: CohortCase, modality: Modality) -> Image:
    """A thousand quantiles of the brain."""
    image = np.asarray(case.images(modality), dtype=np.float32)
    return np.asarray(np.quantile(image[image != 0], np.linspace(0.001, 0.999, 1000)), dtype=np.float32)


def _apart(one: Image, other: Image) -> float:
    return float(wasserstein_distance(one, other))


if __name__ == "__main__":
    main()
