"""Pictures for the report: segmentations over a scan, training curves, Dice by region.

Colours are Okabe and Ito's, which readers with any common colour blindness tell apart. Figures are drawn without
pyplot, so nothing depends on a display or leaves a global state.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from limbeck import durable
from limbeck.anatomy import Label, Region
from limbeck.errors import DataError
from limbeck.report.tables import COLUMNS, MEAN, Comparison

TISSUE_COLOURS = {
    Label.OEDEMA: "#56B4E9",
    Label.ENHANCING: "#F0E442",
    Label.NECROTIC_CORE: "#D55E00",
    Label.RESECTION_CAVITY: "#CC79A7",
}
TISSUE_NAMES = {
    Label.OEDEMA: "oedema",
    Label.ENHANCING: "enhancing tumour",
    Label.NECROTIC_CORE: "necrotic core",
    Label.RESECTION_CAVITY: "resection cavity",
}
RUN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#999999")

_NIGHT, _CHALK = "#14171a", "#e8eaed"
_INK, _GRID = "#24292f", "#d8dee4"
_FILL = 0.38
_DPI = 160


def fullest_slice(labels: NDArray[np.uint8]) -> int:
    """The slice along the last axis with most tumour, or the middle one of a map without any.

    Args:
        labels: label map `[X,Y,Z]`.
    """
    counts = np.count_nonzero(labels, axis=(0, 1))
    return int(counts.argmax()) if counts.any() else labels.shape[2] // 2


def overlay(
    path: Path,
    image: NDArray[Any],
    labels: Mapping[str, NDArray[np.uint8]],
    *,
    reference: str,
    image_title: str = "image",
    affine: NDArray[Any] | None = None,
) -> Path:
    """Draw the scan alone, then each label map over it, in the axial slice with most reference tumour.

    The view is the radiologist's: the patient's front on top, the patient's right on the picture's left.

    Args:
        path: the PNG to write.
        image: `[X,Y,Z]` intensities, zero outside the brain.
        labels: title -> label map `[X,Y,Z]`, codes of `anatomy.Label`, drawn in this order.
        reference: the title of the map that chooses the slice.
        image_title: what the scan is, such as `t1ce`.
        affine: `[4,4]` from voxel indices to mm, RAS+, as NIfTI has it; without it the axes are right, anterior,
            superior and the voxels 1 mm wide.

    Returns:
        The path.

    Raises:
        DataError: a label map does not have the image's shape, or none is called `reference`.
    """
    if reference not in labels:
        raise DataError(f"no label map is called {reference!r}; expected one of {', '.join(labels)}")
    for title, volume in labels.items():
        if volume.shape != image.shape:
            raise DataError(f"{title}: the label map's shape is {volume.shape}; expected the image's, {image.shape}")
    affine = np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64)
    image, (right, up) = _to_ras(image, affine)
    volumes = {title: _to_ras(volume, affine)[0] for title, volume in labels.items()}
    index = fullest_slice(volumes[reference])
    box = _brain_box(image[:, :, index])
    grey = _grey(image[:, :, index], image)[box]
    sections = {title: volume[:, :, index][box] for title, volume in volumes.items()}

    width, panels = 3.0, len(sections) + 1
    height = width * (grey.shape[1] * up) / (grey.shape[0] * right)
    title_lines = 1 + max(title.count("\n") for title in (image_title, *sections))
    tight = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.06, wspace=0, hspace=0)
    # Whole pixels: a fraction of one would be left unpainted along the edge.
    whole = round((height + 0.6 + 0.3 * title_lines) * _DPI) / _DPI
    figure = Figure(figsize=(width * panels, whole), facecolor=_NIGHT, layout=tight)
    heads: list[str | None] = [None, *sections]
    for panel, head in zip(figure.subplots(1, panels, squeeze=False)[0], heads, strict=True):
        panel.imshow(_rgb(grey).swapaxes(0, 1), origin="lower", aspect=up / right, interpolation="bilinear")
        if head is not None:
            _tint(panel, sections[head])
        panel.set_title(image_title if head is None else head, color=_CHALK, fontsize=13, pad=7)
        panel.invert_xaxis()
        panel.set_axis_off()
    shown = [label for label in TISSUE_COLOURS if any((section == label).any() for section in sections.values())]
    if shown:
        _tissue_legend(figure, shown)
    return _save(figure, path)


def training_curves(path: Path, logs: Mapping[str, Path]) -> Path:
    """Draw the validation Dice and every term of the objectives over the steps, one small panel for each.

    Args:
        path: the PNG to write.
        logs: run label -> its `log.csv` with columns step, epoch, name, value.

    Returns:
        The path.

    Raises:
        DataError: a log cannot be read, or none holds anything of these.
    """
    curves = {label: _read_log(log) for label, log in logs.items()}
    names = list(dict.fromkeys(name for curve in curves.values() for name in curve))
    panels = [name for name in names if name == "validation_dice"]
    panels += [name for name in names if _is_term(name)]
    if not panels:
        raise DataError(f"{', '.join(map(str, logs.values()))}: no validation Dice and no term of an objective")
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.4, 2.6 * lines + 0.5), layout="constrained")
    for number, name in enumerate(panels):
        panel = figure.add_subplot(lines, columns, number + 1)
        for colour, (label, curve) in zip(_run_colours(len(curves)), curves.items(), strict=True):
            if name in curve:
                steps, values = zip(*curve[name], strict=True)
                marker = "o" if len(steps) < 25 else ""
                panel.plot(steps, values, color=colour, label=label, linewidth=1.8, marker=marker, markersize=3.5)
        if name == "validation_dice":
            panel.set_ylim(0, 1)
        panel.set_title(name.replace("_dice", " Dice").replace("_", " "), loc="left", fontsize=11, color=_INK)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if number + columns >= len(panels):
            panel.set_xlabel("step", color=_INK)
        _plain(panel)
    _legend(figure, list(curves))
    return _save(figure, path)


def learning_curves(path: Path, logs: Sequence[Path]) -> Path:
    """Draw all runs of one method: the validation Dice of each, and below it every term's median over the runs.

    Args:
        path: the PNG to write.
        logs: the runs' `log.csv`.

    Returns:
        The path.

    Raises:
        DataError: a log cannot be read or holds nothing.
    """
    curves = [_read_log(log) for log in logs]
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for curve in curves:
        steps, values = zip(*curve.get("validation_dice", [(0, np.nan)]), strict=True)
        faint = max(0.25, 1 / len(curves))
        above.plot(steps, values, color=RUN_COLOURS[0], alpha=faint, linewidth=1.4, marker="o", markersize=3)
    above.set_ylim(0, 1)
    above.set_title("validation Dice, each run", loc="left", fontsize=11, color=_INK)
    terms = list(dict.fromkeys(name for curve in curves for name in curve if _is_term(name)))
    for own, term in zip(_run_colours(len(terms)), terms, strict=True):
        by_step: dict[int, list[float]] = {}
        for curve in curves:
            for step, value in curve.get(term, []):
                by_step.setdefault(step, []).append(value)
        steps = tuple(sorted(by_step))
        medians = [np.median(by_step[step]) for step in steps]
        below.plot(steps, medians, color=own, linewidth=1.6, label=term.removeprefix("main/").replace("_", " "))
    below.set_title("terms as weighted, median of the runs", loc="left", fontsize=11, color=_INK)
    below.set_xlabel("step", color=_INK)
    below.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=_INK, ncols=2)
    for panel in (above, below):
        _plain(panel)
    return _save(figure, path)


def dice_by_region(path: Path, comparison: Comparison) -> Path:
    """Draw every case's Dice as a dot, with the quartiles as a box, by region and run.

    Args:
        path: the PNG to write.
        comparison: from `tables.compare`.

    Returns:
        The path.
    """
    lines = comparison.lines
    figure = Figure(figsize=(max(7.5, 1.2 + 0.62 * len(lines) * len(COLUMNS)), 4.2), layout="constrained")
    panel = figure.add_subplot()
    width = 0.8 / len(lines)
    generator = np.random.default_rng(0)
    for number, (line, colour) in enumerate(zip(lines, _run_colours(len(lines)), strict=True)):
        offset = (number - (len(lines) - 1) / 2) * width
        for group, column in enumerate(COLUMNS):
            values = np.array(list(line.dice[column].values()))
            centre = group + offset
            spread = generator.uniform(-0.3, 0.3, len(values)) * width
            panel.scatter(centre + spread, values, s=13, color=colour, alpha=0.45, linewidths=0, zorder=2)
            _box(panel, values, centre, width, colour)
    titles = [f"{name}\n{'of the three' if name == MEAN else Region[name].title}" for name in COLUMNS]
    panel.set_xticks(range(len(COLUMNS)), titles)
    panel.set_xlim(-0.55, len(COLUMNS) - 0.45)
    panel.set_ylim(-0.03, 1.03)
    panel.set_ylabel(comparison.measure, color=_INK)
    _plain(panel)
    panel.xaxis.grid(False)
    _legend(figure, [f"{line.label} ({line.subset})" for line in lines])
    return _save(figure, path)


def _grey(section: NDArray[Any], volume: NDArray[Any]) -> NDArray[np.float64]:
    """A slice in [0, 1] by the brain's own percentiles, so that one bright vessel does not darken the rest."""
    brain = volume[np.isfinite(volume) & (volume != 0)]
    low, high = np.percentile(brain, [0.5, 99.5]) if brain.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(section.astype(np.float64)) - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(np.where(section == 0, 0.0, scaled))


def _rgb(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey to colour, with the figure's own dark in place of black so that panels have no edge."""
    dark = np.array(to_rgb(_NIGHT))
    return dark + grey[..., None] * (1.0 - dark)


def _tint(panel: Axes, section: NDArray[np.uint8]) -> None:
    """Lay each tissue's colour and outline over a slice."""
    veil = np.zeros((*section.T.shape, 4))
    for label, colour in TISSUE_COLOURS.items():
        inside = (section == label).T
        if inside.any():
            veil[inside] = to_rgba(colour, _FILL)
            # On a grid three times as fine an outline follows the voxels' edges, not the diagonals between centres.
            fine = np.kron(np.pad(inside, 1), np.ones((3, 3)))
            rows, columns = ((np.arange(length) - 1) / 3 - 1 for length in fine.shape)
            panel.contour(columns, rows, fine, levels=[0.5], colors=[colour], linewidths=1.1)
    panel.imshow(veil, origin="lower", aspect=panel.get_aspect(), interpolation="nearest")


def _to_ras(volume: NDArray[Any], affine: NDArray[np.float64]) -> tuple[NDArray[Any], tuple[float, float]]:
    """The volume with its axes turned and flipped to right, anterior, superior; the first two voxel edges in mm."""
    orientation = io_orientation(affine)  # type: ignore[no-untyped-call]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    target = {int(axis): float(edge) for axis, edge in zip(orientation[:, 0], edges, strict=True)}
    turned = apply_orientation(volume, orientation)  # type: ignore[no-untyped-call]
    return np.asarray(turned), (target[0], target[1])


def _brain_box(section: NDArray[Any]) -> tuple[slice, slice]:
    """The part of a slice that is not zero, with a small margin."""
    cuts = []
    for axis in (0, 1):
        occupied = np.flatnonzero((section != 0).any(axis=1 - axis))
        first, last = (occupied[0], occupied[-1]) if occupied.size else (0, section.shape[axis] - 1)
        cuts.append(slice(max(int(first) - 3, 0), int(last) + 4))
    return cuts[0], cuts[1]


def _tissue_legend(figure: Figure, shown: Sequence[Label]) -> None:
    handles = [Patch(color=TISSUE_COLOURS[label], label=TISSUE_NAMES[label]) for label in shown]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        labelcolor=_CHALK,
        fontsize=11,
        handlelength=1.0,
        handleheight=1.0,
    )


def _box(panel: Axes, values: NDArray[np.float64], centre: float, width: float, colour: str) -> None:
    panel.boxplot(
        [values],
        positions=[centre],
        widths=0.72 * width,
        showfliers=False,
        manage_ticks=False,
        zorder=3,
        boxprops={"color": colour, "linewidth": 1.4},
        whiskerprops={"color": colour, "linewidth": 1.2},
        capprops={"color": colour, "linewidth": 1.2},
        medianprops={"color": _INK, "linewidth": 2.0},
    )


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_GRID)
    panel.tick_params(colors=_INK, length=0, labelsize=10)
    panel.grid(color=_GRID, linewidth=0.7)
    panel.set_axisbelow(True)


def _legend(figure: Figure, labels: Sequence[str]) -> None:
    handles = [
        Patch(color=colour, label=label) for label, colour in zip(labels, _run_colours(len(labels)), strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(handles), 4),
        frameon=False,
        labelcolor=_INK,
        handlelength=1.0,
        handleheight=1.0,
    )


def _run_colours(count: int) -> list[str]:
    return [RUN_COLOURS[number % len(RUN_COLOURS)] for number in range(count)]


def _is_term(name: str) -> bool:
    """Whether a name in a log is that of a term of an objective, which stands as `group/term`."""
    return "/" in name and not name.endswith("/gradient_norm")


def _read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    curve: dict[str, list[tuple[int, float]]] = {}
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream):
                curve.setdefault(line["name"], []).append((int(line["step"]), float(line["value"])))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a training log: {error!r}") from error
    if not curve:
        raise DataError(f"{path}: holds no training log; expected lines of step, epoch, name, value")
    return curve


def _save(figure: Figure, path: Path) -> Path:
    with durable.replacing(Path(path)) as temporary:
        # No date or version inside: the same numbers give the same file.
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return Path(path)
