"""Segment a patient by a file of limbeck export: predict_with_onnx.py FILE.onnx ROLE=SCAN [ROLE=SCAN ...]."""

import json
import sys
from pathlib import Path

import torch

from limbeck.anatomy import Modality
from limbeck.batch import View
from limbeck.data.preprocess import prepare
from limbeck.data.source import Source
from limbeck.data.volume import write_labels
from limbeck.export.runtime import session
from limbeck.inference.scored import Scored, background
from limbeck.inference.sliding import sliding_window
from limbeck.normalisation import Normalisation
from limbeck.target import Target


def predict(file: Path, scans: dict[str, str], out: Path) -> None:
    """Write the mask on the scans' own grid; the scans are those that the JSON names, or some of a generalist's."""
    facts = json.loads(file.with_suffix(".json").read_text())
    runtime = session(file.read_bytes())
    sequences = [Modality.parse(role) for role in facts["inputs"][0]["sequences"]]
    target, space, window = Target(facts["output"]["target"]), facts["space"], facts["window"]

    def scores(view: View) -> torch.Tensor:
        fed = {"images": view.images[:, sequences].numpy(), "available": view.available.numpy()}
        return torch.from_numpy(runtime.run(None, {one["name"]: fed[one["name"]] for one in facts["inputs"]})[0])

    given = {Modality.parse(role): Source(Path(scan)) for role, scan in scans.items()}
    prepared = prepare(given, space["spacing_mm"], Normalisation(space["normalisation"]))
    box = prepared.brain()
    images = torch.from_numpy(prepared.images[(slice(None), *box.slices)]).float()
    available = torch.from_numpy(prepared.available)
    patch, overlap = tuple(window["patch"]), window["overlap"]
    inside = sliding_window(scores, images, available, patch, overlap, background=background(target))
    write_labels(out, Scored(inside, box, prepared.geometry, target).labels(), prepared.geometry.grid)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    student, *pairs = sys.argv[1:]
    predict(Path(student), dict(pair.split("=", 1) for pair in pairs), Path("mask.nii.gz"))
