"""The weights in the box, from nothing: phantoms, a generalist, four students that it teaches, and a pack of the five.

    make weights                                            what was shipped: some two hours on two cores
    python benchmarks/weights.py --cases 12 --spacing 6 --patch 24 --steps 4 --student-steps 2 --folds 3         quickly

Each command is printed before it runs, so that it can be given by hand, elsewhere, or again: what is finished is kept.
The pack lies in OUT/model; what is shipped is a copy of it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

STUDENTS = "flair,t1,t1ce,t2"
NOTE = (
    "Trained on synthetic patients alone; no scan of anybody was seen in training. In the package it is the model of "
    "whoever names none: `limbeck predict --t1ce t1ce.nii.gz -o mask.nii.gz`."
)


def main() -> None:
    """Train, test on held-out phantoms, and pack."""
    arguments = _arguments()
    out: Path = arguments.out
    cohort = out / "cohort"
    spacing = f"{arguments.spacing:g}"
    phantoms = ("--cases", str(arguments.cases), "--seed", str(arguments.seed), "--spacing", spacing)
    limbeck("phantom", *phantoms, "--out", out / "phantoms")
    limbeck("import", out / "phantoms", "--spacing", spacing, "--out", cohort)
    training = list(_recipe(arguments))
    (generalist,) = limbeck(
        "train", "dropout", "--data", cohort, *training, "--steps", str(arguments.steps), "--out", out / "runs"
    )
    taught = ("--teacher", generalist, "--subsets", STUDENTS, "--steps", str(arguments.student_steps))
    # As the students in the box were trained; the method's default came later, and has not been tried at this size.
    students = limbeck(
        "train", "limbeck", "--data", cohort, *training, *taught, "--terms", "classes", "--out", out / "runs"
    )
    runs = [generalist, *students]
    scored = ("--subsets", f"{STUDENTS},flair+t1+t1ce+t2", "--metrics", "dice,hd95_mm", "--resume")
    limbeck("evaluate", *runs, "--data", cohort, *scored, "--out", out / "phantoms.csv")
    named = ("--name", arguments.name, "--note", arguments.note, "--half", "--overwrite")
    limbeck("pack", *runs, *named, "--out", out / "model")


def limbeck(*words: str | Path) -> list[str]:
    """Run a command of limbeck; returns the lines that it printed.

    Raises:
        SystemExit: it failed; it has said why.
    """
    line = [str(word) for word in words]
    print(f"limbeck {shlex.join(line)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "limbeck", *line], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.strip().splitlines()


def _recipe(arguments: argparse.Namespace) -> Iterator[str]:
    """Both trainings' settings: the common recipe, narrower, and with its last weights instead of the best."""
    side = str(arguments.patch)
    yield from ("--config", str(Path(__file__).parents[1] / "configs" / "common.yaml"))
    yield from ("--width", "8", "--patch", ",".join([side] * 3), "--batch", str(arguments.batch))
    yield from ("--folds", str(arguments.folds), "--seed", str(arguments.seed), "--validate-every", "0")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--cases", type=int, default=500, help="phantoms [500]")
    parser.add_argument("--seed", type=int, default=2026, help="of phantoms and training [2026]")
    parser.add_argument("--spacing", type=float, default=2.0, help="mm [2]")
    parser.add_argument("--patch", type=int, default=64, help="a crop's side in voxels [64]")
    parser.add_argument("--batch", type=int, default=2, help="crops in a step [2]")
    parser.add_argument("--folds", type=int, default=10, help="one of them is held out [10]")
    parser.add_argument("--steps", type=int, default=8000, help="of the generalist [8000]")
    parser.add_argument("--student-steps", type=int, default=2500, help="[2500]")
    parser.add_argument("--name", default="limbeck phantoms 1", help="of the pack")
    parser.add_argument("--note", default=NOTE, help="words for the model card")
    return parser.parse_args()


if __name__ == "__main__":
    main()
