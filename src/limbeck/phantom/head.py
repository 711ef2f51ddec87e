"""A healthy head after skull stripping: lobes, folded cortex, deep grey matter, ventricles, cerebellum, brain stem.

Shapes are signed distances on a lattice of 2 mm, where they are smooth; they are then brought to the grid of the
images and only there turned into shares of tissue, so that a thin sulcus is a thin sulcus and borders carry partial
volume. Sulci are the zero sheets of noise that has one wavelength and is stretched along the depth: sheets that
enter the brain at right angles, with a ribbon of grey matter on either side. Sizes and places follow the usual atlas
dimensions (Talairach and Tournoux 1988), with every number moved from patient to patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from limbeck.phantom.field import Field, Lattice, banded, move, noise, sheet_distance, soft
from limbeck.phantom.shapes import Points, common, ellipsoid, joined, tube

# Width of one leaf of the cerebellum.
_FOLIUM_MM = 3.9

DRAFT = Lattice((-74.0, -93.0, -80.0), 2.0, (75, 95, 78))


@dataclass(frozen=True)
class Traits:
    """What makes one head differ from another, before any field is drawn.

    Attributes:
        size: stretch by axis.
        tilt: rotation about each axis, degrees.
        shift: place of the middle, mm.
        ventricles: width of the ventricles, 1 in a middle-aged head.
        atrophy: half-width of the sulci in mm.
        cortex: thickness of the cortex in mm.
        wavelength: of the folds, mm.
        margin: how far outside the brain it was stripped, mm.
    """

    size: tuple[float, float, float]
    tilt: tuple[float, float, float]
    shift: tuple[float, float, float]
    ventricles: float
    atrophy: float
    cortex: float
    wavelength: float
    margin: float


@dataclass(frozen=True)
class Drawing:
    """Signed distances of a head on the draft lattice, mm, negative inside."""

    brain: Field
    cerebrum: Field
    cerebellum: Field
    stem: Field
    sulcus: Field
    sulcus_floor: Field
    midline: Field
    callosum: Field
    sylvian: Field
    sylvian_floor: Field
    insula: Field
    insula_floor: Field
    deep: Field
    pallidum: Field
    ventricles: Field
    choroid: Field
    folia: Field


def traits(rng: np.random.Generator) -> Traits:
    """Draw one head's traits; age moves ventricles and sulci together."""
    age = rng.uniform(-1, 1)
    size = rng.normal(0.975, 0.035, 3).clip(0.89, 1.05)
    tilt, shift = rng.normal(0, 3.0, 3), rng.normal(0, 1.5, 3)
    return Traits(
        size=(float(size[0]), float(size[1]), float(size[2])),
        tilt=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        shift=(float(shift[0]), float(shift[1]), float(shift[2])),
        ventricles=float(np.exp(0.1 + 0.35 * age + rng.normal(0, 0.28))),
        atrophy=float(np.clip(0.75 + 0.45 * age + rng.normal(0, 0.2), 0.2, 1.6)),
        cortex=float(rng.uniform(2.4, 3.5)),
        wavelength=float(rng.uniform(16, 23)),
        margin=float(rng.uniform(0.2, 3.0)),
    )


def place(rng: np.random.Generator, own: Traits, lattice: Lattice) -> Points:
    """Coordinates of the standard head at every point of this patient's head: turned, stretched, warped, `[X,Y,Z]`."""
    at = lattice.coordinates()
    centred = [at[a] - np.float32(own.shift[a]) for a in range(3)]
    turn = _rotation(own.tilt)
    warped = []
    for a in range(3):
        straight = sum(np.float32(turn[a, b]) * centred[b] for b in range(3)) / np.float32(own.size[a])
        wobble = noise(rng, 38.0, lattice) * np.float32(rng.uniform(1.5, 3.0)) + noise(rng, 14.0, lattice) * 0.7
        warped.append(np.asarray(straight + wobble, dtype=np.float32))
    return warped[0], warped[1], warped[2]


def lobes(at: Points) -> tuple[Field, Field, Field, Field]:
    """Signed distances of brain (all of it, filled), cerebrum, cerebellum and brain stem."""
    side = np.abs(at[0])
    folded: Points = (side, at[1], at[2])
    upper = ellipsoid(at, (0, 0, 0), (68.5, 87, 64.5))
    # The frontal lobes rest on the orbits, the occipital lobes lower, on the tentorium.
    floor = np.asarray(-20 - 8 * np.clip((at[1] + 10) / 40, 0, 1) - at[2], dtype=np.float32)
    upper = common(upper, floor, 10)
    temporal = ellipsoid(folded, (43, -4, -24), (22, 47, 24))
    cerebellum = ellipsoid(folded, (17, 49, -40), (37, 33, 25.5))
    stem = tube(at, [(0, 8, -6), (0, 10, -30), (0, 24, -52), (0, 34, -80)], [14, 14.5, 11.5, 8.5])
    whole = joined(upper, temporal, 10)
    cistern = joined(ellipsoid(at, (0, 13, -21), (17.5, 18, 14)), ellipsoid(at, (0, -11, -21), (14, 11, 9)), 4)
    cerebrum = common(common(whole, 1.8 - cerebellum, 3), -cistern, 3)
    brain = joined(joined(whole, cerebellum, 8), stem, 6)
    return brain, cerebrum, cerebellum, stem


def ventricles(at: Points, width: float) -> Field:
    """Signed distance of the lateral, third and fourth ventricles; `width` scales their bore."""
    folded: Points = (np.abs(at[0]), at[1], at[2])
    bore = [3.0, 4.2, 4.2, 4.8, 5.6, 2.6]
    body = [
        (12.0, -33.0, 3.0),
        (8.5, -20.0, 11.0),
        (9.0, 0.0, 17.0),
        (15.0, 22.0, 14.0),
        (24.0, 36.0, 3.0),
        (25.0, 60.0, 1.0),
    ]
    lateral = tube(folded, body, [width * b for b in bore])
    horn = tube(folded, [(24, 36, 3), (33, 18, -14), (30, -6, -22)], [2.6 * width, 1.6 * width, 1.3 * width])
    third = ellipsoid(at, (0, 4, -2), (1.4 + 1.4 * width, 14, 9))
    fourth = ellipsoid(at, (0, 35, -40), (4 + 3 * width, 4 + 1.5 * width, 9))
    return joined(joined(lateral, horn, 3), joined(third, fourth))


def drawing(rng: np.random.Generator, own: Traits, at: Points) -> Drawing:
    """All shapes of a head at the standard coordinates `at` of the draft lattice."""
    brain, cerebrum, cerebellum, stem = lobes(at)
    folded: Points = (np.abs(at[0]), at[1], at[2])
    depth = -cerebrum
    sulcus = _sulci(rng, own, at)
    inner = ellipsoid(at, (0, 4, -8), (29, 36, 25)) + 4 * noise(rng, 12.0, DRAFT)
    floor = np.maximum(depth - (18 + 5 * noise(rng, 14.0, DRAFT)), -inner)
    arch = ellipsoid((np.zeros_like(at[0]), at[1], at[2]), (0, 3, -3), (1000, 43, 25))
    rise = at[2] + 4 - 0.22 * at[1] + 4 * noise(rng, 18.0, DRAFT)
    deep = joined(
        ellipsoid(folded, (10.5, 10, 3), (9, 15, 9)),
        joined(ellipsoid(folded, (25, -6, 1), (7, 19, 10)), ellipsoid(folded, (15, -20, 11), (5, 13, 8))),
    )
    hippocampus = ellipsoid(folded, (28, 14, -20), (7, 20, 6))
    deep = joined(deep, hippocampus) + 0.8 * noise(rng, 10.0, DRAFT)
    choroid = joined(
        tube(folded, [(20, 27, 10), (23, 37, 3), (27, 30, -6)], [1.4, 2.1, 1.2]),
        tube(folded, [(3, -6, 9), (5, 12, 12), (14, 24, 12)], [1.0, 1.1, 1.2]),
    )
    folia = 0.75 * at[2] + 0.5 * at[1] + 2.5 * noise(rng, 14.0, DRAFT)
    return Drawing(
        brain=brain,
        cerebrum=cerebrum,
        cerebellum=cerebellum,
        stem=np.asarray(stem + 1.4 * noise(rng, 11.0, DRAFT), dtype=np.float32),
        sulcus=sulcus,
        sulcus_floor=np.asarray(floor, dtype=np.float32),
        midline=at[0],
        callosum=arch,
        sylvian=rise,
        sylvian_floor=np.maximum(33 - folded[0], np.abs(at[1] + 6) - 36),
        insula=folded[0] - 34 + 3 * noise(rng, 16.0, DRAFT),
        insula_floor=np.maximum(np.abs(rise) - 12, np.abs(at[1] + 5) - 25),
        deep=np.asarray(deep, dtype=np.float32),
        pallidum=ellipsoid(folded, (19, -3, 0), (4.5, 10, 7)),
        ventricles=ventricles(at, own.ventricles),
        choroid=choroid,
        folia=np.asarray(folia, dtype=np.float32),
    )


def _sulci(rng: np.random.Generator, own: Traits, at: Points) -> Field:
    """Signed distance to the sulcal sheets: banded noise looked up where the ray from the middle meets the surface."""
    pattern = banded(rng, own.wavelength, DRAFT) + np.float32(0.55) * banded(rng, 0.6 * own.wavelength, DRAFT)
    middle = (np.clip(at[0], -18, 18), np.clip(at[1], -30, 32), np.clip(at[2], -6, 6))
    ray = [at[a] - middle[a] for a in range(3)]
    length = np.sqrt(sum(r * r for r in ray)) + np.float32(1e-3)
    # Along the ray the pattern moves a half as fast as in space: sheets bend a little on their way down.
    reach = np.float32(48) + (length - 48) * np.float32(0.5)
    index = [
        (middle[a] + ray[a] / length * reach - np.float32(DRAFT.first[a])) / np.float32(DRAFT.spacing) for a in range(3)
    ]
    looked_up = ndimage.map_coordinates(pattern, np.stack(index), order=1, mode="nearest")
    return sheet_distance(looked_up, DRAFT.spacing, 8.0)


def _rotation(tilt: tuple[float, float, float]) -> np.ndarray:
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(tilt)):
        first, second = [a for a in range(3) if a != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    return turn


@dataclass(frozen=True)
class Head:
    """Shares of tissue on the grid of the images, each `[X,Y,Z]` in 0..1, and the distances that others build on (mm).

    White, grey, deep and fluid add up to one, outside the brain too, where all is fluid.

    Attributes:
        mask: the brain with 4 mm around it, in which anything is worth drawing.
        white: white matter.
        grey: cortex.
        deep: deep grey matter, and what the brain stem shares with it.
        fluid: cerebrospinal fluid.
        choroid: choroid plexus, a part of the fluid's space.
        rim: signed distance to the border of the stripped brain, negative inside.
        ventricle: distance to the ventricles, negative inside.
        surface: signed distance to the surface of the cerebrum.
        cleft: distance to the nearest fluid of a sulcus or fissure.
        sulcus: signed distance to the middle of the sulci.
        midline: signed distance to the falx.
        stem: signed distance to the brain stem.
        cerebellum: signed distance to the cerebellum.
    """

    mask: np.ndarray
    white: Field
    grey: Field
    deep: Field
    fluid: Field
    choroid: Field
    rim: Field
    ventricle: Field
    surface: Field
    cleft: Field
    sulcus: Field
    midline: Field
    stem: Field
    cerebellum: Field


def tissues(drawn: Drawing, own: Traits, target: Lattice, squeeze: Field | None = None) -> Head:
    """Turn a drawing into shares of tissue on `target`.

    Args:
        drawn: signed distances on the draft lattice.
        own: the head's traits.
        target: the grid of the images.
        squeeze: `[X,Y,Z]` on the draft lattice, 0..1: how far pressure closes the sulci.
    """
    here = {name: move(getattr(drawn, name), DRAFT, target) for name in drawn.__dataclass_fields__}
    width = max(1.3, target.spacing)
    depth = -here["cerebrum"]
    gape = np.float32(own.atrophy) * np.clip(1.9 - depth / 7, 0.3, 1.9)
    if squeeze is not None:
        gape = gape * (1 - move(squeeze, DRAFT, target, "linear"))
    sulci = np.maximum(np.abs(here["sulcus"]) - gape, here["sulcus_floor"])
    falx = np.maximum(np.abs(here["midline"]) - (0.4 + 0.7 * gape), -here["callosum"])
    sylvian = np.maximum(np.abs(here["sylvian"]) - (0.3 + 1.3 * gape), here["sylvian_floor"])
    insula = np.maximum(np.abs(here["insula"]) - (0.3 + 1.0 * gape), here["insula_floor"])
    cleft = np.minimum(np.minimum(sulci, falx), np.minimum(np.minimum(sylvian, insula), depth))
    folium = np.float32(_FOLIUM_MM / np.pi) * np.abs(np.sin(here["folia"] * np.float32(np.pi / _FOLIUM_MM)))
    cerebellum_depth = -here["cerebellum"]
    split = np.maximum(folium - 0.25 * gape, cerebellum_depth - 13)
    cerebellar_cleft = np.minimum(split, cerebellum_depth)

    inside_cerebrum = soft(here["cerebrum"], width)
    inside_cerebellum = soft(here["cerebellum"], width) * (1 - inside_cerebrum)
    inside_stem = soft(here["stem"], width) * (1 - inside_cerebrum) * (1 - inside_cerebellum)
    ventricle = soft(here["ventricles"], width)
    open_cleft = soft(cleft, width) * inside_cerebrum + soft(cerebellar_cleft, width) * inside_cerebellum
    tissue = (inside_cerebrum + inside_cerebellum + inside_stem - open_cleft).clip(0, 1) * (1 - ventricle)
    ribbon = soft(cleft - np.float32(own.cortex), width) * inside_cerebrum
    leaves = soft(cerebellar_cleft - 1.3, 1.6) * inside_cerebellum + 0.4 * inside_cerebellum
    nuclei = soft(here["deep"], 2.0) * (1 - 0.5 * soft(here["pallidum"], 2.0))
    deep = tissue * np.maximum(nuclei * inside_cerebrum, 0.4 * inside_stem)
    grey = (tissue - deep) * np.clip(ribbon + leaves, 0, 1)
    return Head(
        mask=here["brain"] < 4,
        white=tissue - deep - grey,
        grey=grey,
        deep=deep,
        fluid=1 - tissue,
        choroid=soft(here["choroid"], width) * ventricle,
        rim=here["brain"],
        ventricle=here["ventricles"],
        surface=here["cerebrum"],
        cleft=cleft,
        sulcus=here["sulcus"],
        midline=here["midline"],
        stem=here["stem"],
        cerebellum=here["cerebellum"],
    )
