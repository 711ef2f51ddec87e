"""Install the built wheel as a user does, in clean environments, and do the main jobs with it.

    python tests/torture/installed_wheel.py --python python3.11 python3.12 [--resolution newest lowest]

`newest` takes what the package registry has today; `lowest` takes the least version that pyproject.toml allows of
every dependency. Each environment lies in a folder of its own, with a new HOME and a bare PATH.
Prints a row for each environment, and leaves with 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--width", "8", "--patch", "16,16,16", "--steps", "3", "--folds", "3", "--precision", "float32"]
# A bare machine, but for what tells pip where packages come from and where temporary files go.
KEPT = re.compile(r"PIP_.*|TMPDIR|SSL_CERT_FILE|REQUESTS_CA_BUNDLE")


class StepError(Exception):
    """A command that should have succeeded did not."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters")
    parser.add_argument("--resolution", nargs="+", default=["newest"], choices=["newest", "lowest"])
    parser.add_argument("--keep", type=Path, help="keep the environments in this folder")
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.keep) as folder:
        wheel = build(Path(folder))
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        for python in arguments.python:
            for resolution in arguments.resolution:
                rows.append(tried(python, resolution, wheel, Path(folder)))
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(row["result"] != "passes" for row in rows))


def build(folder: Path) -> Path:
    """The wheel of this tree."""
    call(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT)], ROOT, dict(os.environ)
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def tried(python: str, resolution: str, wheel: Path, folder: Path) -> dict[str, str]:
    """One environment: made, filled, used, removed."""
    place = folder / f"{Path(python).name}-{resolution}"
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    environment |= {"HOME": str(place / "home"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    (place / "home").mkdir()
    started = time.monotonic()
    row = {"python": python, "resolution": resolution}
    try:
        call([python, "-m", "venv", str(place / "env")], place, environment)
        interpreter = str(place / "env" / "bin" / "python")
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, *(lowest() if resolution == "lowest" else []), str(wheel)], place, environment)
        row["version"] = call([interpreter, "-c", VERSIONS], place, environment).strip()
        row["installed"] = f"{time.monotonic() - started:.0f} s"
        use(place, environment)
        row["result"] = "passes"
    except StepError as error:
        row["result"] = f"FAILS: {error}"
    finally:
        shutil.rmtree(place)
    return {**row, "in": f"{time.monotonic() - started:.0f} s"}


VERSIONS = (
    "import platform, importlib.metadata as m; "
    "print(platform.python_version(), *(f'{n}-{m.version(n)}' for n in ('torch', 'numpy', 'lightning', 'nibabel')))"
)


def lowest() -> list[str]:
    """`name==version` for the least version of each dependency that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.sub(r">=([\w.]+).*", r"==\1", dependency) for dependency in project["dependencies"]]


def use(place: Path, environment: dict[str, str]) -> None:
    """Phantoms, cohort, training, table, report, masks by a run and by the weights in the box; and the demo."""

    def limbeck(*words: str) -> str:
        return call([str(place / "env" / "bin" / "limbeck"), *words], place, environment)

    limbeck("doctor")
    limbeck("phantom", "--cases", "4", "--spacing", "6", "--workers", "1", "--out", "phantoms")
    limbeck("import", "phantoms", "--spacing", "6", "--out", "cohort")
    words = ("--config", "common", "--subset", "flair", "--data", "cohort", "--out", "runs", *SMALL)
    run = limbeck("train", "supervised", *words).split()[-1]
    limbeck("evaluate", run, "--data", "cohort", "--out", "results.csv")
    limbeck("report", "results.csv", "--data", "cohort", "--out", "report.html")
    scan = next((place / "phantoms").rglob("*_flair.nii.gz"))
    limbeck("predict", run, "--flair", str(scan), "-o", "mask.nii.gz")
    limbeck("predict", "--flair", str(scan), "-o", "boxed.nii.gz")
    limbeck("demo", "--out", "demo", "--cases", "4", "--steps", "3", "--spacing", "6", "--width", "8", "--patch", "32")
    for made in ("results.csv", "report.html", "mask.nii.gz", "mask.json", "boxed.nii.gz", "demo/report.html"):
        if not (place / made).is_file():
            raise StepError(f"{made} was not written")


def call(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StepError(f"{' '.join(command[:6])} left with {done.returncode}: {' '.join(said)}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
