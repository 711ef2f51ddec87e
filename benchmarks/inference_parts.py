"""One prediction, part by part, in a process that does nothing else: what benchmarks/inference.py starts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from steps import peak_mib

from limbeck.anatomy import Modality, Subset
from limbeck.batch import View
from limbeck.data.preprocess import Prepared, prepare
from limbeck.data.source import Source
from limbeck.inference import files, folder
from limbeck.inference import model as models
from limbeck.inference.predictor import Predictor, load
from limbeck.inference.sliding import window_starts
from limbeck.methods.precision import Precision


def measured(model: Path, scan: Path, mask: Path, precision: Precision) -> dict[str, float]:
    """Seconds of each part of one prediction, and of the bare network after it; peak memory in MiB before that."""
    seconds: dict[str, float] = {}
    begun = time.perf_counter()
    loaded = models.Model.load(model, precision=precision)
    seconds["loading the model"] = time.perf_counter() - begun
    # The command's own calls, each with a watch around it.
    for place, name, part in (
        (models, "read_scans", "reading"),
        (models, "doubts", "looking for doubts"),
        (models, "to_model_space", "preprocessing"),
        (Predictor, "scores", "network and windows"),
        (models.Scored, "labels", "back to the scan's grid"),
        (files, "_write_mask", "writing the mask"),
    ):
        _watch(seconds, place, name, part)
    job = folder.Job("case", {Modality.FLAIR: Source(scan)}, files.Files(mask))
    begun, before = time.perf_counter(), sum(seconds.values())
    (outcome,) = folder.segment_all(loaded, [job], files.Options(), overwrite=True)
    if outcome.error is not None:
        raise outcome.error
    inside = sum(seconds.values()) - before
    seconds["the rest: hashes, JSON, syncs"] = time.perf_counter() - begun - inside
    peak = peak_mib()
    prepared = prepare({Modality.FLAIR: Source(scan)}, loaded.members[0].card.spacing_mm)
    windows, bare = _bare(load(model, precision=precision), prepared)
    return {**seconds, "bare network": bare, "windows": windows, "peak": peak}


def _watch(seconds: dict[str, float], place: object, name: str, part: str) -> None:
    """Add up the time of a function whenever it is called."""
    function: Callable[..., object] = getattr(place, name)

    def timed(*given: object, **named: object) -> object:
        begun = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - begun

    setattr(place, name, timed)


def _bare(predictor: Predictor, prepared: Prepared) -> tuple[int, float]:
    """Number of windows of the brain's box, and the median seconds of three times all their forward passes."""
    images = torch.from_numpy(prepared.images[(slice(None), *prepared.brain().slices)]).float()
    patch = predictor.card.patch
    missing = [max(side - length, 0) for side, length in zip(patch, images.shape[1:], strict=True)]
    images = torch.nn.functional.pad(images, [0, missing[2], 0, missing[1], 0, missing[0]])
    starts = window_starts(images.shape[1:], patch, predictor.overlap)
    available = torch.tensor([Subset.parse("flair").mask()])
    cuts = [tuple(slice(a, a + side) for a, side in zip(start, patch, strict=True)) for start in starts]
    views = [View.of(images[(slice(None), *cut)][None], available) for cut in cuts]
    times = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=predictor.bf16):
        for _ in range(3):
            begun = time.perf_counter()
            for view in views:
                predictor.method.predict(view)
            times.append(time.perf_counter() - begun)
    return len(starts), statistics.median(times)
