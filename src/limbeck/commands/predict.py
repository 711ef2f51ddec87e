"""`limbeck predict`: scans in, masks on their own grids out."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.anatomy import LABEL_SCHEMES, Modality
from limbeck.commands.arguments import Once, check_file, check_folder
from limbeck.commands.bar import bar
from limbeck.commands.unfinished import tell_unfinished
from limbeck.errors import DataError, LimbeckError, PartialError, UsageError

if TYPE_CHECKING:
    from limbeck.data.case import Case
    from limbeck.inference.files import Options
    from limbeck.inference.folder import Job, Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = (
        "run folder of limbeck train, or a pack (default: the weights in the box, which know synthetic patients alone)"
    )
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL", help=text)
    for modality in Modality:
        text = f"the {modality.role} scan: a file, or the folder of a DICOM series"
        parser.add_argument(f"--{modality.role}", type=Path, action=Once, metavar="FILE", help=text)
    parser.add_argument("--case", type=Path, action=Once, metavar="DIR", help="one patient's folder, in a known layout")
    parser.add_argument(
        "--folder", type=Path, action=Once, metavar="DIR", help="folder of patients in a known layout, or a table"
    )
    parser.add_argument("--layout", default="auto", help="of --case or --folder, as limbeck import has it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="mask to write, or a folder with --folder")
    parser.add_argument("--labels", default="brats2018", choices=sorted(LABEL_SCHEMES), help="codes to write")
    parser.add_argument("--probabilities", action="store_true", help="write the probabilities of WT, TC and ET too")
    parser.add_argument("--flips", action="store_true", help="mean over eight mirror images; eight times the work")
    parser.add_argument(
        *("--min-enhancing",), type=_volume, default=0.0, metavar="MM3", help="less enhancing tumour becomes core"
    )
    parser.add_argument("--resample", action="store_true", help="bring registered scans on several grids onto one")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--overwrite", action="store_true", help="replace masks that exist")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Segment one patient, or a folder of them."""
    scans = {m: getattr(arguments, m.role) for m in Modality if getattr(arguments, m.role) is not None}
    if sum(map(bool, (scans, arguments.case, arguments.folder))) != 1:
        model = arguments.model
        taken = f"{model} was taken for MODEL; " if model is not None and model.is_file() else ""
        raise UsageError(
            f"{taken}give the patient in one way: --t1ce FILE (and other sequences), --case DIR or --folder DIR"
        )
    if scans and arguments.layout != "auto":
        raise UsageError("--layout goes with --case or --folder: expected neither, or one of these")
    if arguments.folder:
        _check_folder(arguments.out)
    else:
        _check_mask(arguments.out)

    from limbeck.inference.files import Options  # noqa: PLC0415 - nibabel

    options = Options(
        labels=arguments.labels,
        probabilities=arguments.probabilities,
        flips=arguments.flips,
        min_enhancing_mm3=arguments.min_enhancing,
        resample=arguments.resample,
    )
    return _segment(arguments, _jobs(arguments, scans, options), options)


def _check_folder(out: Path) -> None:
    """Refuse what can be told by the name alone."""
    from limbeck.data.source import suffix  # noqa: PLC0415 - nibabel

    if ending := suffix(out):
        raise UsageError(f"output {out}: many masks go into a folder: expected a name without {ending}")
    check_folder(out)


def _check_mask(mask: Path) -> None:
    """Refuse what can be told by the name alone."""
    from limbeck.inference.files import ENDINGS  # noqa: PLC0415 - nibabel

    check_file(mask, ENDINGS)
    if not mask.parent.is_dir():
        raise UsageError(f"output folder {mask.parent}: no such folder: expected one that is there")


def _jobs(arguments: argparse.Namespace, scans: dict[Modality, Path], options: Options) -> list[Job]:
    """What is to be done, once it is sure that it may be."""
    from limbeck.data.case import Case  # noqa: PLC0415
    from limbeck.data.source import Source  # noqa: PLC0415
    from limbeck.inference.files import Files  # noqa: PLC0415
    from limbeck.inference.folder import Job  # noqa: PLC0415
    from limbeck.inference.places import check_case_names, check_format, check_places, check_scans  # noqa: PLC0415

    given = {modality: Source(path) for modality, path in scans.items()}
    cases = [Case("", "", given)] if given else _cases(arguments)
    if arguments.folder:
        check_case_names(case.id for case in cases)
        jobs = [Job(case.id, case.images, Files(arguments.out / f"{case.id}.nii.gz")) for case in cases]
    else:
        jobs = [Job(str(arguments.out), cases[0].images, Files(arguments.out))]
    inputs = [source.path for case in cases for source in (*case.images.values(), case.labels) if source is not None]
    check_places(jobs, inputs, options)
    if not arguments.folder:
        check_scans(jobs[0])
        check_format(jobs[0])
        jobs[0].files.refuse_existing(options, arguments.overwrite)
    return jobs


def _cases(arguments: argparse.Namespace) -> list[Case]:
    from limbeck.data.importers import detect_layout  # noqa: PLC0415

    place = arguments.case or arguments.folder
    importer, _ = detect_layout(place, arguments.layout)
    found = importer.find(place)
    if not found:
        raise DataError(f"{place}: no patients in layout {importer.name}: expected at least one")
    if arguments.case and len(found) != 1:
        raise UsageError(f"{place} holds {len(found)} patients: use --folder")
    if overlooked := importer.overlooked(place):
        print(f"limbeck: warning: {': '.join(overlooked)}", file=sys.stderr)
    return found


def _segment(arguments: argparse.Namespace, jobs: list[Job], options: Options) -> int:
    from limbeck.inference import model as models  # noqa: PLC0415 - torch
    from limbeck.inference.folder import segment_all  # noqa: PLC0415

    model = models.Model.load(arguments.model, arguments.device)
    if arguments.model is not None:
        tell_unfinished(arguments.model, model.members)
    with bar("Predict", len(jobs)) as advance:
        finished = 0

        def done(outcome: Outcome) -> None:
            nonlocal finished
            finished += 1
            for warning in (outcome.facts or {}).get("warnings", ()):
                print(f"limbeck: warning: {outcome.job.name}: {warning}", file=sys.stderr)
            advance(finished)

        outcomes = segment_all(model, jobs, options, overwrite=arguments.overwrite, done=done)
    if arguments.folder:
        return _tell_folder(arguments, outcomes)
    return _tell_patient(arguments, outcomes[0])


def _tell_patient(arguments: argparse.Namespace, outcome: Outcome) -> int:
    if outcome.facts is None:
        assert outcome.error is not None, "a job has facts or an error"
        raise outcome.error
    facts = outcome.facts
    if arguments.json:
        print(json.dumps({"mask": str(arguments.out), **facts}, indent=1, ensure_ascii=False))
    else:
        volumes = ", ".join(f"{region} {volume:.1f} ml" for region, volume in facts["volumes_ml"].items())
        names = ", ".join(member["name"] for member in facts["model"]["members"])
        print(f"{arguments.out}: from {facts['sequences']} by the {facts['kind']} {names}; {volumes}")
    return 0


def _tell_folder(arguments: argparse.Namespace, outcomes: Sequence[Outcome]) -> int:
    failed = {outcome.job.name: _line(outcome.error) for outcome in outcomes if outcome.error is not None}
    kept = [outcome.job.name for outcome in outcomes if outcome.kept]
    if arguments.json:
        masks = {o.job.name: {"mask": str(o.job.files.mask), **o.facts} for o in outcomes if o.facts is not None}
        print(json.dumps({"masks": masks, "kept": kept, "failed": failed}, indent=1, ensure_ascii=False))
    else:
        already = f", {len(kept)} of them from before" if kept else ""
        print(f"{len(outcomes) - len(failed)} of {len(outcomes)} masks in {arguments.out}{already}")
    if failed:
        lines = "\n  ".join(f"{name}: {line}" for name, line in failed.items())
        first = next(outcome.error for outcome in outcomes if outcome.error is not None)
        raise PartialError(f"{len(failed)} of {len(outcomes)} cases failed:\n  {lines}") from first
    return 0


def _line(error: Exception) -> str:
    """An error as one line; one that nobody foresaw says its kind."""
    text = "; ".join(str(error).strip().splitlines())
    return text if isinstance(error, LimbeckError) else f"{type(error).__name__}: {text}"


def _volume(text: str) -> float:
    """A type for argparse: a volume in mm3."""
    try:
        volume = float(text)
    except ValueError:
        volume = -1.0
    if not 0 <= volume < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a volume in mm3, 0 or more")
    return volume
