"""Segment one patient with a trained run and print the volumes: predict_a_case.py RUN ROLE=SCAN [ROLE=SCAN ...]."""

import sys
from pathlib import Path

import limbeck
from limbeck.data.volume import write_labels


def predict(run: str, scans: dict[str, str], out: Path) -> dict[str, float]:
    """Write the mask on the scan's own grid; gives the volumes of WT, TC and ET in millilitres."""
    result = limbeck.load(run).segment(scans)
    write_labels(out, result.labels, result.grid)
    return result.volumes_ml()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model, *pairs = sys.argv[1:]
    print(predict(model, dict(pair.split("=", 1) for pair in pairs), Path("mask.nii.gz")))
