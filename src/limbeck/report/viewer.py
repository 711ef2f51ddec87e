"""The viewer of the page: scans, references and predictions inside the file, drawn by NiiVue, which lies in `vendor`.

Volumes are gzipped NIfTI in base64, each in a block of its own that is read when it is first looked at. Scans are
brought to 8 bits between the 0.5th and 99.8th percentile of the brain, which is what a screen shows.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from limbeck.anatomy import Label
from limbeck.errors import DataError
from limbeck.report.figures import TISSUE_COLOURS, TISSUE_NAMES


@dataclass(frozen=True)
class Mask:
    """A prediction to look at.

    Attributes:
        run: the run that predicted.
        label: what the toggle says; no other mask of the case has it from the same sequences.
        subset: the sequences that the prediction saw.
        labels: `[X,Y,Z]` uint8, codes of `anatomy.Label`.
        dice: region -> Dice, or what stands for it, as far as it is known.
        measure: what that is called.
    """

    run: str
    label: str
    subset: str
    labels: NDArray[np.uint8]
    dice: Mapping[str, float] = field(default_factory=dict)
    measure: str = "Dice"


@dataclass(frozen=True)
class Scene:
    """A case to look at, everything on the scan's own grid.

    Attributes:
        case: its name.
        affine: `[4,4]` from voxel indices to mm, RAS+.
        images: sequence -> `[X,Y,Z]` intensities, zero outside the brain.
        reference: `[X,Y,Z]` uint8, codes of `anatomy.Label`.
        masks: predictions.
    """

    case: str
    affine: NDArray[Any]
    images: Mapping[str, NDArray[Any]]
    reference: NDArray[np.uint8]
    masks: Sequence[Mask] = ()


def embed(scenes: Sequence[Scene]) -> str:
    """The viewer's place in the page, with all its volumes.

    Raises:
        DataError: a case has no image, or a mask does not have its shape.
    """
    blocks: list[str] = []

    def keep(volume: NDArray[np.uint8], affine: NDArray[Any], *, labels: bool) -> str:
        name = f"volume-{len(blocks)}"
        encoded = base64.b64encode(_packed(volume, affine, labels=labels)).decode("ascii")
        blocks.append(f'<script type="text/plain" id="{name}">{encoded}</script>')
        return name

    cases = [_entry(scene, keep) for scene in scenes]
    index = {"cases": cases, "colours": _colours()}
    # No text of the index can end its block early.
    text = json.dumps(index, ensure_ascii=True).replace("<", "\\u003c")
    legend = "".join(
        f'<li><b style="background:{colour}"></b>{html.escape(TISSUE_NAMES[label])}</li>'
        for label, colour in TISSUE_COLOURS.items()
        if any((volume == label).any() for scene in scenes for volume in _labels(scene))
    )
    return (
        '<div id="viewer" data-state="waiting"><p class="waiting">The viewer needs JavaScript and WebGL 2.</p></div>'
        f'<ul class="tissues">{legend}</ul>'
        f'<script type="application/json" id="viewer-index">{text}</script>{"".join(blocks)}'
    )


def scripts() -> tuple[str, ...]:
    """What the page must execute for the viewer: NiiVue, and the page's own control of it."""
    return _read("vendor/niivue.umd.js"), _read("viewer.js")


def licences() -> str:
    """Name, version and licence of what `scripts` brings, as the HTML that must stand in the page."""
    source = json.loads(_read("vendor/niivue.json"))
    return (
        f"<details><summary>The viewer is NiiVue {html.escape(source['version'])} "
        f"({html.escape(source['licence'])})</summary><pre>{html.escape(_read('vendor/LICENCES.txt'))}</pre></details>"
    )


@cache
def _read(name: str) -> str:
    return resources.files("limbeck.report").joinpath(name).read_text(encoding="utf-8")


def _entry(scene: Scene, keep: Any) -> dict[str, Any]:
    if not scene.images:
        raise DataError(f"case {scene.case!r} has no image to show; expected at least one sequence")
    for what, volume in {**scene.images, "reference": scene.reference}.items():
        _check(scene, what, volume)
    for mask in scene.masks:
        _check(scene, f"the mask of {mask.run} from {mask.subset}", mask.labels)
    return {
        "name": scene.case,
        "start": _start(scene),
        "zoom": _zoom(scene),
        "images": {role: keep(_eight_bits(image), scene.affine, labels=False) for role, image in scene.images.items()},
        "reference": keep(scene.reference, scene.affine, labels=True),
        "masks": [
            {
                "run": mask.run,
                "label": mask.label,
                "subset": mask.subset,
                "dice": {region: round(value, 3) for region, value in mask.dice.items()},
                "measure": mask.measure,
                "volume": keep(mask.labels, scene.affine, labels=True),
            }
            for mask in scene.masks
        ],
    }


def _check(scene: Scene, what: str, volume: NDArray[Any]) -> None:
    if volume.shape != scene.reference.shape:
        raise DataError(
            f"case {scene.case!r}: the shape of {what} is {volume.shape}; expected the reference's, "
            f"{scene.reference.shape}"
        )


def _labels(scene: Scene) -> list[NDArray[np.uint8]]:
    return [scene.reference, *(mask.labels for mask in scene.masks)]


def _packed(volume: NDArray[np.uint8], affine: NDArray[Any], *, labels: bool) -> bytes:
    make: Any = nib.Nifti1Image
    image = make(np.ascontiguousarray(volume, dtype=np.uint8), affine)
    image.header.set_xyzt_units("mm")
    image.header["cal_max"] = 0 if labels else 255
    if labels:
        # NiiVue draws outlines of what says that it is a label map.
        image.header.set_intent("label", name="")
    # No time inside: the same volumes give the same page.
    return gzip.compress(image.to_bytes(), 6, mtime=0)


def _eight_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    brain = values[values != 0]
    low, high = np.percentile(brain, [0.5, 99.8]) if brain.size else (0.0, 1.0)
    # Brain begins at 1, so that it stays apart from the outside.
    scaled = 1 + np.clip((values - low) / max(float(high - low), 1e-12), 0, 1) * 254
    return np.where(values == 0, 0, scaled).round().astype(np.uint8)


def _start(scene: Scene) -> list[float]:
    """Where to look first, in mm: the middle of the axial slice with most reference tumour, or of the image."""
    places = np.argwhere(scene.reference > 0).astype(np.float64)
    if not len(places):
        places = (np.array([scene.reference.shape], dtype=np.float64) - 1) / 2
    world = places @ scene.affine[:3, :3].T + scene.affine[:3, 3]
    heights, counts = np.unique(world[:, 2].round(1), return_counts=True)
    # Of several the middle one: the first lies at a tumour's edge.
    equal = heights[counts == counts.max()]
    fullest = world[world[:, 2].round(1) == equal[len(equal) // 2]]
    return [round(float(value), 2) for value in fullest.mean(axis=0)]


def _zoom(scene: Scene) -> float:
    """How far the image can be drawn up around its middle until the brain meets the edge."""
    brain = next(iter(scene.images.values())) != 0
    reach = 0.5
    for axis, size in enumerate(brain.shape):
        occupied = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
        if occupied.size:
            furthest = max(size / 2 - occupied[0], occupied[-1] + 1 - size / 2)
            reach = max(reach, 2 * furthest / size)
    return round(max(1.0, 0.96 / reach), 3)


def _colours() -> dict[str, list[Any]]:
    """A label map's colours by code, as NiiVue takes them."""
    codes = [int(label) for label in Label]
    table = [(0.0, 0.0, 0.0), *(to_rgb(TISSUE_COLOURS[label]) for label in Label if label is not Label.BACKGROUND)]
    red, green, blue = ([round(255 * colour[channel]) for colour in table] for channel in range(3))
    return {"R": red, "G": green, "B": blue, "A": [0] + [255] * (len(codes) - 1), "I": codes}
