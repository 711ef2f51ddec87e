"""`limbeck predict`: scans in, masks on their own grids out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.anatomy import LABEL_SCHEMES, Modality, Subset
from limbeck.commands.arguments import Once, check_file, check_folder
from limbeck.commands.bar import bar
from limbeck.errors import LimbeckError, PartialError, ResourceError, UsageError

if TYPE_CHECKING:
    from limbeck.data.source import Source
    from limbeck.inference.predictor import Predictor
    from limbeck.inference.segmentation import Segmentation

    Scans = Mapping[str, Path | Source]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="run folder of limbeck train")
    for modality in Modality:
        help_text = f"the {modality.role} scan"
        parser.add_argument(f"--{modality.role}", type=Path, action=Once, metavar="FILE", help=help_text)
    parser.add_argument("--case", type=Path, action=Once, metavar="DIR", help="one patient's folder, in a known layout")
    parser.add_argument("--folder", type=Path, action=Once, metavar="DIR", help="folder of patients, in a known layout")
    parser.add_argument("-o", "--out", type=Path, required=True, help="mask to write, or a folder with --folder")
    parser.add_argument("--labels", default="brats2018", choices=sorted(LABEL_SCHEMES), help="codes to write")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--overwrite", action="store_true", help="replace masks that exist")


def run(arguments: argparse.Namespace) -> int:
    """Segment one patient, or a folder of them."""
    scans = {m.role: getattr(arguments, m.role) for m in Modality if getattr(arguments, m.role) is not None}
    ways = [way for way in (scans, arguments.case, arguments.folder) if way]
    if len(ways) != 1:
        raise UsageError("give the patient in one way: --t1ce FILE (and other sequences), --case DIR or --folder DIR")
    _check_out(arguments, scans)

    from limbeck.inference.predictor import load  # noqa: PLC0415 - torch

    predictor = load(arguments.model, arguments.device)
    if (arguments.model / "experiment.yaml").is_file() and not (arguments.model / "DONE").is_file():
        print(
            f"limbeck: note: {arguments.model} is unfinished: its weights are of step {predictor.card.step}",
            file=sys.stderr,
        )
    if arguments.folder:
        return _folder(predictor, arguments)
    if arguments.case:
        (scans,) = _cases(arguments.case, one=True).values()
    result = _write(arguments.out, predictor, scans, arguments.labels)
    volumes = ", ".join(f"{region} {volume:.1f} ml" for region, volume in result.volumes_ml().items())
    print(f"{arguments.out}: from {result.subset}; {volumes}")
    return 0


def _folder(predictor: Predictor, arguments: argparse.Namespace) -> int:
    cases = _cases(arguments.folder)
    failures: list[str] = []
    kept = 0
    with bar("Predict", len(cases)) as advance:
        for done, (name, scans) in enumerate(cases.items(), start=1):
            target = arguments.out / f"{name}.nii.gz"
            try:
                if not arguments.overwrite and _finished(target, predictor, scans, arguments.labels):
                    kept += 1
                else:
                    _refuse_existing(target, arguments.overwrite)
                    _write(target, predictor, scans, arguments.labels)
            except ResourceError:
                raise
            except LimbeckError as error:
                failures.append(f"{name}: {error}")
            advance(done)
    already = f", {kept} of them from before" if kept else ""
    print(f"{len(cases) - len(failures)} of {len(cases)} masks in {arguments.out}{already}")
    if failures:
        raise PartialError(f"{len(failures)} of {len(cases)} cases failed:\n  " + "\n  ".join(failures))
    return 0


def _cases(folder: Path, one: bool = False) -> dict[str, dict[str, Source]]:
    """Case name -> role -> where the sequence lies, which in a 4-D file is a channel."""
    from limbeck.data.importers import detect_layout  # noqa: PLC0415 - nibabel

    importer, _ = detect_layout(folder)
    found = importer.find(folder)
    if one and len(found) != 1:
        raise UsageError(f"{folder} holds {len(found)} patients: use --folder")
    return {case.id: {m.role: source for m, source in case.images.items()} for case in found}


def _write(target: Path, predictor: Predictor, scans: Scans, scheme: str) -> Segmentation:
    from limbeck.data.volume import write_labels  # noqa: PLC0415
    from limbeck.durable import sha256, write_json  # noqa: PLC0415

    result = predictor.segment(scans)
    write_labels(target, result.labels, result.grid, scheme)
    facts = {
        **_maker(predictor, scans, scheme),
        "mask_sha256": sha256(target),
        "volumes_ml": {region: round(volume, 3) for region, volume in result.volumes_ml().items()},
        "note": "research software, not for clinical use",
    }
    write_json(_beside(target), facts)
    return result


def _maker(predictor: Predictor, scans: Scans, scheme: str) -> dict[str, Any]:
    """What decides a mask: two masks with the same maker are the same."""
    from limbeck.data.source import Source  # noqa: PLC0415
    from limbeck.durable import sha256  # noqa: PLC0415

    card = predictor.card
    subset = predictor.choose(Subset(Modality.parse(role) for role in scans))
    paths = {role: scan.path if isinstance(scan, Source) else scan for role, scan in scans.items()}
    return {
        "model": {"method": card.method, "experiment": card.origin.get("experiment"), "step": card.step},
        "sequences": str(subset),
        "scans_sha256": {role: sha256(path) for role, path in paths.items() if Modality.parse(role) in subset},
        "labels": scheme,
    }


def _finished(target: Path, predictor: Predictor, scans: Scans, scheme: str) -> bool:
    """Whether an earlier call has written this mask from these scans, and it is still what was written."""
    from limbeck.durable import sha256  # noqa: PLC0415

    try:
        facts = json.loads(_beside(target).read_text(encoding="utf-8"))
        if facts.get("mask_sha256") != sha256(target):
            return False
        return all(facts.get(key) == value for key, value in _maker(predictor, scans, scheme).items())
    except (OSError, ValueError, AttributeError):
        return False


def _check_out(arguments: argparse.Namespace, scans: dict[str, Path]) -> None:
    """Refuse an output that cannot be written or would replace something, before the model is read."""
    out: Path = arguments.out
    if arguments.folder:
        check_folder(out)
        return
    check_file(out, (".nii", ".nii.gz"))
    for role, scan in scans.items():
        if out.resolve() == scan.resolve():
            raise UsageError(f"output {out} is the {role} scan itself: expected another name")
    _refuse_existing(out, arguments.overwrite)


def _beside(target: Path) -> Path:
    """The JSON file beside a mask."""
    return target.with_name(target.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _refuse_existing(target: Path, overwrite: bool) -> None:
    for path in (target, _beside(target)):
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists: give --overwrite to replace it")
