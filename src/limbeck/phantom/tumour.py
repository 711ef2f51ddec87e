"""A glioma: where it starts, how large it grows, what it is made of, and how it pushes the brain aside.

The habits follow what large series of gliomas show (Menze et al., IEEE Trans Med Imaging 2015;34:1993; Bakas et al.,
Sci Data 2017;4:170117): about a quarter without enhancement, rings around necrosis, solid, patchy and cystic tumours,
second foci in one of seven, oedema along white matter that spares cortex, whole tumours of 5 to 250 ml.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.phantom.field import Field, Lattice, grain, move, noise, soft
from limbeck.phantom.growth import PLATE, Front, ball, spread
from limbeck.phantom.head import DRAFT, Head, lobes, ventricles
from limbeck.phantom.shapes import Points, Triple

HABITS = ("ring", "solid", "patchy", "cystic", "sparse", "plain")


@dataclass(frozen=True)
class Plan:
    """What a tumour will be, drawn before anything grows.

    Attributes:
        habit: one of `HABITS`; plain does not enhance.
        foci: centres in mm, the main one first.
        core_ml: volume to which the core grows.
        oedema_ml: volume of the oedema around it.
        push_mm: how far tissue at the core's border is displaced.
        rim_mm: mean thickness of the enhancing rim.
        roughness_mm: how far borders stray from smooth ones.
        fade_mm: width over which the oedema fades.
        border_mm: width over which the core passes into what is around it.
        water: share of fluid in the oedema.
    """

    habit: str
    foci: tuple[Triple, ...]
    core_ml: float
    oedema_ml: float
    push_mm: float
    rim_mm: float
    roughness_mm: float
    fade_mm: float
    border_mm: float
    water: float

    @property
    def radius_mm(self) -> float:
        """Radius of a ball of the core's volume."""
        return float((self.core_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def plan(rng: np.random.Generator) -> Plan:
    """Draw one tumour's plan."""
    habit = str(rng.choice(HABITS, p=[0.36, 0.12, 0.14, 0.05, 0.08, 0.25]))
    if habit == "plain":
        core = float(np.clip(np.exp(rng.normal(np.log(42), 0.75)), 4, 150))
        oedema = core * rng.uniform(0.1, 1.1)
    else:
        core = float(np.clip(np.exp(rng.normal(np.log(38), 0.9)), 1.5, 140))
        oedema = float(np.clip(np.exp(rng.normal(np.log(64), 0.9)), 3, 190))
        if rng.random() < 0.1:
            oedema = core * rng.uniform(0.03, 0.2)
    radius = (core * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    return Plan(
        habit=habit,
        foci=_foci(rng, radius),
        core_ml=core,
        oedema_ml=float(min(oedema, 255 - core)),
        push_mm=float(radius * rng.uniform(0.0, 0.38)),
        rim_mm=float(np.clip(radius * rng.uniform(0.12, 0.5), 1.6, 9.0)),
        roughness_mm=float(rng.uniform(0.6, 2.6)),
        fade_mm=float(rng.uniform(2.0, 9.0)),
        border_mm=float(rng.uniform(1.5, 8.0) if habit == "plain" else rng.uniform(1.2, 3.5)),
        water=float(rng.uniform(0.36, 0.92)),
    )


def _foci(rng: np.random.Generator, radius: float) -> tuple[Triple, ...]:
    """Centres in the cerebrum below the cortex and off the ventricles; one tumour in seven has a second focus."""
    points = rng.uniform((-60, -78, -42), (60, 78, 58), (400, 3))
    at: Points = tuple(points[:, a].astype(np.float32) for a in range(3))  # type: ignore[assignment]
    depth = -lobes(at)[1]
    good = (depth > 9) & (depth < 45) & (ventricles(at, 1.3) > 4) & (np.abs(at[0]) > 6)
    first = points[int(np.argmax(good))]
    chosen = [first]
    if rng.random() < 0.15:
        apart = np.linalg.norm(points - first, axis=1)
        near = good & (apart > radius + 10) & (apart < radius + 50)
        chosen.append(points[int(np.argmax(near))])
    return tuple((float(p[0]), float(p[1]), float(p[2])) for p in chosen)


def pressed(at: Points, own: Plan, depth: Field) -> tuple[Points, Field]:
    """Mass effect: standard coordinates pulled towards the focus, as the tissue was pushed away from it.

    Args:
        at: standard coordinates on the draft lattice.
        own: the tumour's plan.
        depth: mm below the surface of the brain; the skull holds the surface in place.

    Returns:
        The coordinates, and how far pressure closes the sulci, 0..1.
    """
    where = DRAFT.coordinates()
    away = [where[a] - np.float32(own.foci[0][a]) for a in range(3)]
    distance = np.sqrt(sum(d * d for d in away)) + np.float32(1e-3)
    radius = np.float32(own.radius_mm)
    beyond = np.clip(distance - radius, 0, None)
    fall = np.exp(-((beyond / (1.3 * radius + 12)) ** 2)) * np.minimum(distance / radius, 1)
    held = np.clip(depth / 22, 0, 1)
    amount = np.float32(own.push_mm) * fall * held / distance
    moved = [np.asarray(at[a] - amount * away[a], dtype=np.float32) for a in range(3)]
    squeeze = np.clip(own.push_mm / 6, 0, 0.9) * np.exp(-((beyond / 22) ** 2))
    return (moved[0], moved[1], moved[2]), np.asarray(squeeze, dtype=np.float32)


@dataclass(frozen=True)
class Tumour:
    """What is where, on the grid of the images; each `[X,Y,Z]`.

    Attributes:
        core: share of tumour core, 0..1.
        necrosis: share of the core that is dead or fluid, 0..1.
        enhancing: how far gadolinium accumulates, 0..1.
        water: share of fluid in the brain tissue around the core, 0..1.
        grain: texture of the core, unit variance.
        distance: mm ahead of the core's smooth border, on the way of its growth, negative inside; at most about 12.
    """

    core: Field
    necrosis: Field
    enhancing: Field
    water: Field
    grain: Field
    distance: Field


def grow(rng: np.random.Generator, own: Plan, head: Head, target: Lattice) -> Tumour:
    """Grow core and oedema in the tissue of `head`, and bring both to the grid `target`."""
    tissue = {name: move(getattr(head, name), target, PLATE, "linear") for name in ("white", "grey", "deep", "fluid")}
    inside = (move(head.rim, target, PLATE, "linear") < 0).astype(np.float32)
    patch = np.exp(np.float32(rng.uniform(0.3, 0.9)) * noise(rng, 13.0, PLATE))
    core_mobility = (tissue["white"] + 0.55 * tissue["deep"] + 0.5 * tissue["grey"] + 0.02 * tissue["fluid"]) * patch
    core_mobility = core_mobility * inside
    start = ball(own.foci[0], 4.5)
    # Several seeds side by side make lobes; without them every tumour would tend to a ball.
    for _ in range(int(rng.integers(0, 4))):
        step = rng.normal(0, 0.5, 3) * own.radius_mm
        beside = (own.foci[0][0] + step[0], own.foci[0][1] + step[1], own.foci[0][2] + step[2])
        start = np.maximum(start, ball(beside, float(rng.uniform(2.5, 4.5))))
    for other in own.foci[1:]:
        start = np.maximum(start, np.float32(rng.choice([0.3, 1.0])) * ball(other, 4.5))
    start = start * (core_mobility > 0.1)
    core = spread(start, (core_mobility, core_mobility, core_mobility), own.core_ml)
    fluid_mobility = tissue["white"] + 0.25 * tissue["deep"] + 0.06 * tissue["grey"] + 0.2 * (core.distance < 0)
    fluid_mobility = fluid_mobility * inside * np.exp(np.float32(rng.uniform(0.5, 1.1)) * noise(rng, 12.0, PLATE))
    along = _tracts()
    paths = tuple(np.asarray(fluid_mobility * along[a], dtype=np.float32) for a in range(3))
    oedema = spread(
        np.clip(0.5 - core.distance / 3, 0, 1), (paths[0], paths[1], paths[2]), own.oedema_ml + core.volume_ml
    )
    return _detailed(rng, own, core, oedema, head, target)


def _tracts() -> tuple[Field, Field, Field]:
    """How much faster fluid runs along each axis: sideways in the callosum, else lengthwise and upwards."""
    at = PLATE.coordinates()
    ones = np.ones(PLATE.shape, np.float32)
    callosal: Field = np.asarray(np.exp(-((at[0] / 22) ** 2) - ((at[2] - 16) / 14) ** 2) * ones, dtype=np.float32)
    slope = np.array([1.2, -0.7, -0.4], dtype=np.float32)
    return 0.7 * ones + slope[0] * callosal, 1.5 * ones + slope[1] * callosal, 1.1 * ones + slope[2] * callosal


def _detailed(rng: np.random.Generator, own: Plan, core: Front, oedema: Front, head: Head, target: Lattice) -> Tumour:
    """Bring the fronts to the images' grid, roughen their borders, and furnish the core by its habit."""
    coarse, fine = noise(rng, 6.5, target), grain(rng, 2.2, target)
    rough = np.float32(own.roughness_mm) * (coarse + 0.35 * fine)
    distance = move(core.distance, PLATE, target)
    ahead = distance + 0.6 * rough
    share = soft(ahead, own.border_mm) * (1 - 0.85 * head.fluid)
    necrosis, enhancing = _furnish(rng, own, ahead, fine, target)
    front = move(oedema.distance, PLATE, target) + 1.3 * rough
    ramp = soft(front, own.fade_mm)
    uneven = np.clip(1 + 0.22 * noise(rng, 8.0, target) + 0.12 * coarse, 0.3, 1.6)
    conducts = head.white + 0.7 * head.deep + 0.35 * head.grey
    water = np.float32(own.water) * ramp * uneven * conducts * (head.mask)
    return Tumour(
        core=np.asarray(share * head.mask, dtype=np.float32),
        necrosis=necrosis,
        enhancing=enhancing,
        water=np.clip(np.asarray(water, dtype=np.float32), 0, 1),
        grain=np.asarray(0.8 * coarse + 0.6 * fine, dtype=np.float32),
        distance=distance,
    )


def _furnish(rng: np.random.Generator, own: Plan, ahead: Field, fine: Field, target: Lattice) -> tuple[Field, Field]:
    """Shares of necrosis and of enhancement in the core, from the distance to its border and noise."""
    depth = -ahead
    lumps = noise(rng, 9.0, target)
    crumbs = noise(rng, 4.0, target)
    uneven = np.clip(1 + 0.45 * lumps + 0.25 * crumbs + np.float32(rng.uniform(0, 0.35)) * fine, 0.05, 2.5)
    rim = np.float32(own.rim_mm) * uneven
    if own.habit == "ring":
        necrosis = soft(rim - depth, 2.0)
        islands = soft(np.float32(rng.uniform(1.2, 2.2)) - lumps - 0.5 * crumbs, 0.6)
        necrosis = necrosis * (1 - islands)
        return necrosis, (1 - necrosis) * soft(-depth - 0.3, 1.6)
    if own.habit == "cystic":
        necrosis = soft(0.45 * rim - depth, 1.5) * soft(lumps - np.float32(rng.uniform(0.6, 1.3)), 0.5)
        return necrosis, (1 - necrosis) * soft(-depth - 0.3, 1.6)
    if own.habit == "solid":
        necrosis = soft(np.float32(rng.uniform(1.0, 2.0)) - lumps - 0.6 * crumbs, 0.7) * soft(3 - depth, 2.0)
        return necrosis, (1 - necrosis) * soft(-depth - 0.3, 1.6)
    level = np.float32(rng.uniform(-0.5, 0.5) if own.habit == "patchy" else rng.uniform(0.9, 1.5))
    enhancing = soft(level - lumps - 0.7 * crumbs, 0.5) * soft(-depth - 0.3, 1.6)
    if own.habit == "plain":
        enhancing = np.zeros_like(enhancing)
    hollow = soft(np.float32(rng.uniform(1.0, 2.6)) - lumps + 0.6 * crumbs, 0.8) * soft(4 - depth, 2.0)
    return hollow * (1 - enhancing), enhancing
