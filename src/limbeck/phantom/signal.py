"""Signal equations of the four sequences, and the settings with which a scanner may have been run.

    spin echo             S = PD (1 - exp(-TR/T1)) exp(-TE/T2)
    inversion recovery    S = PD |1 - 2 exp(-TI/T1) + exp(-(TR - ETL)/T1)| exp(-TE/T2)
    spoiled gradient echo S = PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*),  E1 = exp(-TR/T1)
    MPRAGE (simplified)   S = PD [1 - (1 + f) exp(-TI/T1) + f exp(-TR/T1)] exp(-TE/T2), inversion of efficiency f
    gadolinium            1/T1' = 1/T1 + r1 C,  1/T2' = 1/T2 + r2 C

Equations: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, chapters 14.1, 14.2 and 17.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality

Array: TypeAlias = NDArray[np.float64]
Times: TypeAlias = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Sequence:
    """How one sequence was run. Times in ms, angle in degrees.

    Attributes:
        kind: spin, inversion (FLAIR), spoiled or mprage (any T1-weighted sequence with a preparing inversion).
        repetition: TR.
        echo: TE.
        inversion: TI, where there is one.
        flip: flip angle, where it matters.
    """

    kind: str
    repetition: float
    echo: float
    inversion: float = 0.0
    flip: float = 90.0


@dataclass(frozen=True)
class Protocol:
    """One examination: the field strength in tesla, a setting for each sequence, and the agent's relaxivity."""

    field_tesla: float
    sequences: dict[Modality, Sequence]
    relaxivity: tuple[float, float]


def draw(rng: np.random.Generator) -> Protocol:
    """Settings of an examination as clinics run it; T1 before and after gadolinium often differ in kind."""
    field = 3.0 if rng.random() < 0.5 else 1.5
    plain = _t1_weighted(rng, str(rng.choice(["spin", "mprage", "spoiled", "inversion"], p=[0.4, 0.3, 0.2, 0.1])))
    after = plain
    if rng.random() < 0.6:
        after = _t1_weighted(rng, str(rng.choice(["spin", "mprage", "spoiled"], p=[0.3, 0.45, 0.25])))
    t2 = Sequence("spin", rng.uniform(2800, 6500), rng.uniform(78, 120))
    repetition, echo = rng.uniform(7500, 11000), rng.uniform(85, 145)
    # The inversion time at which cerebrospinal fluid passes through zero, met more or less well.
    fluid_t1 = 4000.0 if field < 2 else 4200.0
    null = fluid_t1 * np.log(2 / (1 + np.exp(-(repetition - 2 * echo) / fluid_t1)))
    flair = Sequence("inversion", repetition, echo, null * rng.uniform(0.965, 1.035))
    by_name = {Modality.FLAIR: flair, Modality.T1: plain, Modality.T1CE: after, Modality.T2: t2}
    r1 = rng.uniform(3.0, 5.0)
    return Protocol(field, by_name, (r1, r1 * rng.uniform(1.1, 1.4)))


def _t1_weighted(rng: np.random.Generator, kind: str) -> Sequence:
    if kind == "spin":
        return Sequence("spin", rng.uniform(420, 700), rng.uniform(8, 17))
    if kind == "mprage":
        return Sequence("mprage", rng.uniform(1700, 2400), rng.uniform(2.2, 4.5), rng.uniform(880, 1200), 9.0)
    if kind == "inversion":
        return Sequence("mprage", rng.uniform(2000, 2600), rng.uniform(8, 14), rng.uniform(750, 900), 90.0)
    return Sequence("spoiled", rng.uniform(8, 30), rng.uniform(2.5, 6), 0.0, rng.uniform(15, 30))


def intensity(sequence: Sequence, times: Times) -> Array:
    """Signal of tissues given as T1, T2 (ms) and density, of any common shape; non-negative."""
    t1, t2, density = times
    if sequence.kind == "spin":
        return np.asarray(density * (1 - np.exp(-sequence.repetition / t1)) * np.exp(-sequence.echo / t2))
    if sequence.kind == "inversion":
        # A train of echoes shortens the time of recovery before the next inversion.
        rest = sequence.repetition - 2 * sequence.echo
        recovered = np.abs(1 - 2 * np.exp(-sequence.inversion / t1) + np.exp(-rest / t1))
        return np.asarray(density * recovered * np.exp(-sequence.echo / t2))
    if sequence.kind == "spoiled":
        angle = np.deg2rad(sequence.flip)
        e1 = np.exp(-sequence.repetition / t1)
        star = 1 / (1 / t2 + 1 / 90.0)
        return np.asarray(density * np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1) * np.exp(-sequence.echo / star))
    # Magnetisation that has not recovered from the read-out is inverted the less: eff below 1.
    eff = 0.85
    recovered = 1 - (1 + eff) * np.exp(-sequence.inversion / t1) + eff * np.exp(-sequence.repetition / t1)
    # Clinical images are magnitudes, but fluid that is still negative at TI is small after the partial read-out.
    shown = np.sqrt(np.maximum(recovered, 0.02) ** 2 + 0.04**2)
    return np.asarray(density * shown * np.exp(-sequence.echo / t2))


def enhanced(times: Times, relaxivity: tuple[float, float], millimolar: Array) -> Times:
    """Times of a tissue that holds `millimolar` (mmol/L) of gadolinium: rates add."""
    t1, t2, density = times
    return (
        1 / (1 / t1 + relaxivity[0] * millimolar / 1000),
        1 / (1 / t2 + relaxivity[1] * millimolar / 1000),
        density,
    )
