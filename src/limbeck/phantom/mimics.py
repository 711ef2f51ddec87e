"""What looks like tumour and is none: age's white-matter lesions, bright caps, vessels, dura, and their relatives.

A network that has never seen them calls every bright spot a glioma, so they are in most patients: periventricular
caps and bands and deep lesions (Fazekas et al., AJR 1987;149:351), cortical veins, venous sinuses, arteries at the
base, remnants of dura at the border of the stripped brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.phantom.field import Field, Lattice, grain, noise, soft
from limbeck.phantom.head import Head
from limbeck.phantom.shapes import Points, joined, tube


@dataclass(frozen=True)
class Mimics:
    """Shares on the grid of the images, each `[X,Y,Z]` in 0..1.

    Attributes:
        water: fluid in white matter that no tumour caused.
        vessel: blood vessels.
        dura: dura at the border and in the falx.
        glare: places where fluid is not nulled in FLAIR, by flow or by the nearness of air.
    """

    water: Field
    vessel: Field
    dura: Field
    glare: Field


def draw(rng: np.random.Generator, head: Head, target: Lattice, age_width: float) -> Mimics:
    """Draw one patient's mimics; `age_width` is the width of the ventricles, which lesions of age accompany."""
    water = _lesions(rng, head, target, age_width)
    vessel = _vessels(rng, head, target)
    dura = _dura(rng, head, target)
    patches = noise(rng, 12.0, target)
    low = np.clip(-target.coordinates()[2] / 40, 0, 1)
    glare = soft(1.6 - patches - 0.8 * low, 1.0) * np.float32(rng.uniform(0, 0.6)) * head.fluid
    # Near air, at the base and the poles, the field is uneven and brain itself is too bright.
    base = soft(2.4 - patches - 1.1 * low, 1.2) * np.clip(1 + head.rim / 16, 0, 1)
    glare = glare + np.float32(rng.choice([0.0, rng.uniform(0.2, 1.3)], p=[0.35, 0.65])) * base
    return Mimics(water, vessel, dura, np.asarray(glare, dtype=np.float32))


def _lesions(rng: np.random.Generator, head: Head, target: Lattice, age_width: float) -> Field:
    """Water share of caps, bands and spots in white matter."""
    away = np.clip(head.ventricle, 0, None)
    at = target.coordinates()
    lumps = noise(rng, 7.0, target)
    # Bands are thin along the body of the ventricles and thick at their horns.
    horns = np.clip((np.abs(at[1] - 5) - 22) / 18, 0, 1)
    reach = np.float32(rng.uniform(0.8, 2.2)) + np.float32(rng.gamma(1.2, 2.2)) * horns
    band = np.exp(-away / np.maximum(reach * (1 + 0.35 * lumps), 0.4)) * np.float32(rng.uniform(0.05, 0.6))
    load = max(0.0, rng.normal(0.5 * (age_width - 0.9), 0.5))
    spots = soft(np.float32(2.9 - 0.8 * load) - noise(rng, 3.5, target) - 0.5 * lumps + away / 45, 0.7)
    spots = spots * np.float32(rng.uniform(0.15, 0.6)) * (1.0 if rng.random() < 0.65 else 0.0)
    deep_white = np.clip(head.cleft / 4, 0, 1)
    water = np.maximum(band * (head.surface < -8), spots * deep_white)
    return np.asarray(water * head.white, dtype=np.float32)


def _vessels(rng: np.random.Generator, head: Head, target: Lattice) -> Field:
    """Share of vessels: veins in the sulci, sinuses, deep veins and the arteries of the base."""
    at: Points = target.coordinates()
    crossing = noise(rng, 9.0, target) * 9.0
    bore = np.float32(rng.uniform(0.4, 1.5)) * np.clip(1 + 0.5 * noise(rng, 12.0, target), 0, 2)
    in_sulcus = np.sqrt(np.abs(head.sulcus) ** 2 + crossing**2) - bore
    shallow = head.surface + 14
    veins = np.maximum(np.maximum(in_sulcus, -shallow), head.cleft - 1)
    over = noise(rng, 7.0, target) * 7.0
    bridging = np.sqrt(np.clip(head.surface + 0.5, -8, 8) ** 2 + over**2) - bore
    sinus_bore = float(rng.uniform(2.0, 6.0))
    top = np.maximum(np.abs(head.midline) + np.abs(head.surface) - sinus_bore, -at[2] - 10)
    folded: Points = (np.abs(at[0]), at[1], at[2])
    transverse = tube(
        folded, [(2, 84, -18), (30, 76, -24), (52, 52, -28), (54, 36, -40)], [sinus_bore + b for b in (0.5, 1.5, 2, 1)]
    )
    straight = tube(at, [(0, 20, 10), (0, 40, 9), (0, 62, -4), (0, 82, -16)], [0.8, 1.3, 1.3, 1.8])
    inner = tube(folded, [(2.5, -14, 12), (2.5, 8, 14), (2.0, 26, 10)], [0.7, 0.9, 1.2])
    circle = tube(
        folded, [(0, 2, -42), (0, 0, -26), (8, -8, -24), (26, -14, -20), (38, -14, -8)], [1.5, 1.4, 1.6, 1.3, 0.9]
    )
    distance = joined(joined(veins, bridging), joined(joined(top, transverse), joined(joined(straight, inner), circle)))
    return np.asarray(soft(distance, max(1.2, target.spacing)), dtype=np.float32)


def _dura(rng: np.random.Generator, head: Head, target: Lattice) -> Field:
    """Share of dura: patches at the border, thicker low down, and the thin falx and tentorium."""
    patches = noise(rng, 16.0, target) + 0.6 * grain(rng, 4.0, target)
    low = np.clip(-target.coordinates()[2] / 30, -1, 1.5)
    thick = np.float32(rng.uniform(0.0, 2.2)) * np.clip(
        patches + 0.4 * low + np.float32(rng.uniform(-0.8, 0.6)), 0, 1.5
    )
    border = soft(-(head.rim + thick), 1.4) * (thick > 0.1)
    falx = soft(np.abs(head.midline) - 0.3, 1.4) * (head.fluid > 0.2) * np.float32(rng.uniform(0, 1))
    # The tentorium lies between cerebellum and cerebrum.
    roof = np.maximum(np.abs(head.cerebellum - 0.9) - 0.4, head.surface - 3)
    tentorium = soft(roof, 1.4) * np.float32(rng.uniform(0, 1))
    return np.asarray(np.maximum(border, np.maximum(falx, tentorium)), dtype=np.float32)
