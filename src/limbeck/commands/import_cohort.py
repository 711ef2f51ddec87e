"""`limbeck import`: a data set becomes a cohort."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from limbeck.anatomy import LABEL_SCHEMES
from limbeck.commands.arguments import at_least, check_folder
from limbeck.commands.bar import bar
from limbeck.normalisation import Normalisation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from limbeck.data.importers import IMPORTERS  # noqa: PLC0415

    parser.add_argument("source", type=Path, help="folder of the data set, or a CSV table; it is read in place")
    parser.add_argument("--out", type=Path, required=True, help="cohort folder to write")
    parser.add_argument("--layout", default="auto", help=f"one of auto, {', '.join(IMPORTERS)}")
    parser.add_argument("--labels", default="auto", help=f"label codes, one of auto, {', '.join(LABEL_SCHEMES)}")
    parser.add_argument("--spacing", type=_spacing_mm, default=1.0, help="voxel size in mm that networks will work in")
    parser.add_argument(
        "--normalisation",
        default=Normalisation.Z_SCORE.value,
        choices=[choice.value for choice in Normalisation],
        help="intensities: z-score over the brain, or raw, as the scanner gave them",
    )
    parser.add_argument("--workers", type=at_least(1), default=None, help="processes (default: one a core)")
    parser.add_argument("--skip-bad", action="store_true", help="leave unusable cases out instead of stopping")


def _spacing_mm(text: str) -> float:
    """A type for argparse: what a model's card can say."""
    from limbeck.methods.fields import spacing_mm  # noqa: PLC0415 - torch

    try:
        return spacing_mm(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected mm, from 0.1 to 100") from error


def run(arguments: argparse.Namespace) -> int:
    """Import, showing what was decided."""
    from limbeck.data.cohort import import_cohort  # noqa: PLC0415 - torch
    from limbeck.data.importers import detect_layout  # noqa: PLC0415
    from limbeck.data.importers.census import census  # noqa: PLC0415

    check_folder(arguments.out)
    importer, explanation = detect_layout(arguments.source, arguments.layout)
    cases = importer.find(arguments.source)
    scheme, why = arguments.labels, "as told"
    if scheme == "auto":
        codes = importer.codes(arguments.source, cases)
        scheme, why = codes.scheme, f"{codes.why} (--labels overrides)"
    # Shown before the work begins, whoever reads the output.
    print(f"{explanation}\nlabels read as {scheme}: {why}\n{census(cases)}", flush=True)
    if overlooked := importer.overlooked(arguments.source):
        print(f"limbeck: warning: {': '.join(overlooked)}", file=sys.stderr)
    with bar("Import", len(cases)) as advance:
        cohort = import_cohort(
            cases,
            arguments.out,
            spacing_mm=arguments.spacing,
            normalisation=Normalisation(arguments.normalisation),
            scheme=scheme,
            layout=importer.name,
            source=arguments.source,
            workers=arguments.workers,
            progress=advance,
            skip_bad=arguments.skip_bad,
        )
    for case, reason in cohort.skipped.items():
        for line in reason.splitlines():
            print(f"limbeck: left out: {case}: {line}", file=sys.stderr)
    complete = sum(all(case.present) for case in cohort.cases)
    labelled = sum(case.segmented for case in cohort.cases)
    print(
        f"{len(cohort.cases)} cases in {arguments.out}: {complete} with all four sequences, "
        f"{labelled} with a segmentation, {cohort.spacing_mm:g} mm, {cohort.normalisation}, hash {cohort.hash[:8]}"
        + (f"; {len(cohort.skipped)} left out as bad" if cohort.skipped else "")
    )
    return 0
