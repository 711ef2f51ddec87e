"""Scoring runs, during training and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort, CohortCase
from limbeck.data.splits import Fold, folds
from limbeck.data.usable import Usable, counts, counts_in_words, usable
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.evaluation.eligible import judged_by, unseen
from limbeck.evaluation.evaluate import Source, evaluate
from limbeck.evaluation.journal import Journal
from limbeck.evaluation.masks import MaskFolder
from limbeck.evaluation.protocol import Protocol, check_metrics, find
from limbeck.evaluation.table import Row
from limbeck.evaluation.threshold import post_processing, stored_step
from limbeck.inference.crop import crop_of
from limbeck.inference.predictor import Predictor, check_normalisation, checkpoint_folder, load
from limbeck.methods.base import Method
from limbeck.methods.precision import Precision, uses_bf16
from limbeck.methods.saved import DONE, Card, load_card
from limbeck.version import __version__


def held_out(cohort: Cohort, fold: int, count: int) -> Fold:
    """One of a cohort's folds, stored with it and never drawn again."""
    return folds(cohort, count)[fold]


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one run, checked and not yet begun.

    Attributes:
        folder: the run.
        cohort: the cohort that its cases lie in.
        card: of the checkpoint that predicts.
        usable: what is scored, and what those that are not lack.
        subsets: the sequences to predict from.
        metrics: names in `metrics.METRICS`.
        protocol: the rules.
        processed: whether predictions are also scored after post-processing.
        masks: folder of masks; the run's lie in a folder of its name.
        journals: folder in which finished cases are kept; the run's lie in a folder of its name.
        earlier: rows of a finished table, of which those of this run are taken over.
    """

    folder: Path
    cohort: Cohort
    card: Card
    usable: Usable[CohortCase]
    subsets: tuple[Subset, ...]
    metrics: tuple[str, ...]
    protocol: Protocol
    processed: bool
    masks: Path | None
    journals: Path | None
    earlier: tuple[Row, ...]

    @property
    def run(self) -> str:
        """The run's name."""
        return self.folder.resolve().name

    @property
    def cases(self) -> tuple[CohortCase, ...]:
        """What is scored."""
        return self.usable.cases

    @property
    def basis(self) -> str:
        """On how many cases each subset is scored, in words; nothing if all are scored from all."""
        found = counts(self.cases, self.subsets)
        if all(count == self.usable.offered for count in found.values()):
            return ""
        told = f"scored on {self.usable}"
        return f"{told}; n = {counts_in_words(found)}" if len(found) > 1 else told

    @property
    def journal(self) -> Journal:
        """Rows known from before, and where those of now are kept."""
        plan = {
            "data": self.cohort.hash,
            "protocol": self.protocol.id,
            "metrics": list(self.metrics),
            "subsets": [str(subset) for subset in self.subsets],
            "processed": self.processed,
            "masks": str(self.masks.resolve()) if self.masks is not None else None,
            "checkpoint": self.card.files,
            "limbeck": __version__,
        }
        folder = self.journals / self.run if self.journals is not None else None
        # Whoever wants masks wants those of these very predictions.
        mine = (self.run, self.cohort.hash)
        reused = [row for row in self.earlier if (row.run, row.data) == mine and self.masks is None]
        return Journal(folder, plan, tuple(reused))

    @property
    def mask_folder(self) -> MaskFolder | None:
        """Where predictions are kept, if they are."""
        return MaskFolder(self.masks / self.run) if self.masks is not None else None

    @property
    def masks_of(self) -> dict[str, str]:
        """What decides a mask beside the run's weights."""
        return {"cohort": self.cohort.hash, "protocol": self.protocol.id}

    def rows(self, device: str = "auto", progress: Callable[[int, int], None] | None = None) -> list[Row]:
        """Predict and score.

        Args:
            device: where the network runs.
            progress: told how many of all predictions are done, and how many there are.

        Raises:
            ModelError: the run's weights do not fit its method.
            DataError: a case's files are damaged.
        """
        predictor = load(self.folder, device, checkpoint=self.protocol.checkpoint)
        crop = crop_of(self.protocol.extent)
        journal, masks = self.journal, self.mask_folder
        journal.begin()
        if masks is not None:
            masks.begin(self.masks_of)
        step = post_processing(self.folder, self.cohort, predictor, self.protocol) if self.processed else None
        origin = self.card.origin
        return evaluate(
            lambda case, subset: predictor.segment_case(case, subset, crop),
            self.cases,
            self.subsets,
            self.metrics,
            source=Source(
                self.run,
                self.card.method,
                int(origin["fold"]),
                int(origin["seed"]),
                self.cohort.hash,
                self.protocol.id,
            ),
            steps=[step] if step is not None else [],
            extent=(lambda case: crop.native(case.geometry)) if crop is not None else None,
            masks=masks,
            journal=journal,
            progress=progress,
        )


def plan_evaluation(
    folder: Path,
    cohort: Cohort,
    subsets: tuple[Subset, ...] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    protocol: str = "strict",
    processed: bool = False,
    masks: Path | None = None,
    journal: Path | None = None,
    earlier: Sequence[Row] = (),
) -> Evaluation:
    """Check everything that can be checked before the first prediction.

    Args:
        folder: a finished run. It is scored on the cases held out from it if the cohort is its own, else on all cases
            that can be scored.
        cohort: the cases.
        subsets: sequences to predict from; by default a specialist's own and a generalist's 15.
        metrics: names in `metrics.METRICS`; by default the protocol's.
        protocol: its name.
        processed: also score predictions without small enhancing tumours, by a threshold that is chosen on the run's
            own validation cases and kept in its folder.
        masks: folder of masks; the run's lie in a folder of its name.
        journal: folder in which finished cases are kept; the run's lie in a folder of its name.
        earlier: rows of a finished table, of which those of this run are taken over.

    Raises:
        ModelError: the run is not finished or damaged.
        UsageError: the run serves none of the subsets, was trained on intensities normalised in another way, or has
            learnt from cases of this other cohort; a name is unknown; the protocol does not suit the cohort; the
            journal is of another evaluation, or the masks are of other scans.
        DataError: no case can be scored.
    """
    rules = find(protocol)
    card = _card(folder, rules)
    check_normalisation(card, cohort.normalisation, cohort.path)
    chosen = card.subsets if subsets is None else tuple(subset for subset in subsets if subset in card.subsets)
    if not chosen:
        raise UsageError(f"{folder.name} serves {', '.join(map(str, card.subsets))}: none of the subsets asked for")
    held = unseen(folder, cohort, card.origin)
    found = usable(held, chosen)
    if not found.cases:
        names = " or ".join(map(str, chosen[:4]))
        raise DataError(f"none of {len(held)} cases of {cohort.path} has a segmentation and {names}: nothing to score")
    _check_extent(rules, cohort, found.cases)
    if processed and card.origin.get("data") != cohort.hash:
        stored_step(folder, card, rules, needed=True)
    measured = rules.metrics if metrics is None else tuple(metrics)
    check_metrics(measured)
    planned = Evaluation(
        folder, cohort, card, found, chosen, measured, rules, processed, masks, journal, tuple(earlier)
    )
    planned.journal.check()
    if (folder_of_masks := planned.mask_folder) is not None:
        folder_of_masks.check(planned.masks_of)
    return planned


def evaluate_run(
    folder: Path,
    cohort: Cohort,
    subsets: tuple[Subset, ...] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    protocol: str = "strict",
    processed: bool = False,
    masks: Path | None = None,
    journal: Path | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score a run; arguments and errors are those of `plan_evaluation` and `Evaluation.rows`."""
    planned = plan_evaluation(
        folder,
        cohort,
        subsets,
        metrics=metrics,
        protocol=protocol,
        processed=processed,
        masks=masks,
        journal=journal,
    )
    return planned.rows(device, progress)


def validation(
    card: Card, cases: Sequence[CohortCase], precision: Precision, device: torch.device
) -> Callable[[Method[Any]], float]:
    """A function that gives a method's mean Dice over validation cases and regions, by the path that predicts.

    A generalist is judged by the four single sequences and by all four together.

    Raises:
        DataError: no case can be scored, so that no checkpoint could be called the best.
    """
    subsets = judged_by(card.subsets)
    scored = usable(cases, subsets).cases
    if not scored:
        raise DataError(
            f"none of {len(cases)} validation cases has a segmentation and {subsets[0]}: "
            "choose another --fold, or name such cases in a --split file"
        )
    bf16 = uses_bf16(precision, device)

    def validate(method: Method[Any]) -> float:
        rows = evaluate(
            Predictor(method, card, device, bf16).segment_case,
            scored,
            subsets,
            ("dice",),
            source=Source("validation", card.method, fold=0, seed=0),
        )
        return fmean(row.value for row in rows)

    return validate


def _card(folder: Path, protocol: Protocol) -> Card:
    """The card of a finished run's checkpoint, its files verified."""
    checkpoint = checkpoint_folder(folder, protocol.checkpoint)
    if not (folder / DONE).is_file():
        raise ModelError(f"{folder} is no finished run: it has no {DONE} file; finish its training first")
    card = load_card(checkpoint)
    if absent := [name for name in ("data", "fold", "seed") if name not in card.origin]:
        raise ModelError(
            f"{folder}: its checkpoint does not say its {', '.join(absent)}: expected one of limbeck train"
        )
    return card


def _check_extent(protocol: Protocol, cohort: Cohort, cases: Sequence[CohortCase]) -> None:
    """Refuse a crop counted in voxels where a voxel is something else than in the paper."""
    crop = crop_of(protocol.extent)
    if crop is None:
        return
    if cohort.spacing_mm != 1.0:
        raise UsageError(
            f"protocol {protocol.name} crops voxels of 1 mm, {cohort.path} has {cohort.spacing_mm:g} mm: "
            "import the data with --spacing 1 and train on that, or use protocol strict"
        )
    for case in cases:
        try:
            crop.native(case.geometry)
        except UsageError as error:
            raise UsageError(f"protocol {protocol.name}, case {case.id}: {error}") from error
