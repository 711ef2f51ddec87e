"""What an import costs: seconds a case on one core, on all, and whether memory grows with the number of cases.

python benchmarks/importing.py                     100 and 1,000 cases at 2 mm; writes about 4 GB, and takes them away
python benchmarks/importing.py --cases 4 --spacing 1               cases of 240x240x155 voxels

A few phantoms are made, and every case is links to one of them, so that a thousand cost no more disk than a few. Each
import runs in a process of its own, whose peak counts; with several workers it is that of the process which hands out.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steps import peak_mib
from turns import Row, print_row

from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout
from limbeck.phantom.cohort import write as write_phantoms

# Patients that are made; the others are links to them.
MADE = 4


def measure(row: Row, folder: Path, counts: list[int], spacing: float, workers: int) -> None:
    """All rows."""
    write_phantoms(folder / "made", MADE, spacing_mm=spacing, workers=1)
    for count in counts:
        source = folder / f"source-{count}"
        multiply(folder / "made", source, count)
        for processes in sorted({1, workers}):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                done = _in_its_own_process(source, Path(out) / "cohort", spacing, processes)
            what = f"{count:,} cases at {spacing:g} mm"
            cases = f"of four sequences and labels, links to {min(count, MADE)} phantoms, {_processes(processes)}"
            row(f"import of {what}", f"{done['seconds'] / count:.3f} s", f"a case; {cases}")
            if processes == 1:
                row("finding cases and codes", f"{done['finding']:.2f} s", f"in all; {what}")
            row("peak memory of import", f"{done['peak_mib']:.0f} MiB", f"resident, own process; {what}; {cases}")


def multiply(made: Path, source: Path, count: int) -> None:
    """A folder of `count` cases in BraTS's names, each of links to one of those that were made."""
    originals = sorted(path for path in made.iterdir() if path.is_dir())
    for number in range(count):
        original, name = originals[number % len(originals)], f"BraTS2021_{number:05d}"
        (source / name).mkdir(parents=True)
        for path in original.iterdir():
            (source / name / path.name.replace(original.name, name)).symlink_to(path.resolve())


def _processes(number: int) -> str:
    return "one core" if number == 1 else f"{number} processes"


def _in_its_own_process(source: Path, out: Path, spacing: float, workers: int) -> dict[str, float]:
    """Seconds and peak memory of one import."""
    words = ["--one", str(source), "--out", str(out), "--spacing", str(spacing), "--workers", str(workers)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _one(source: Path, out: Path, spacing: float, workers: int) -> dict[str, float]:
    """Import here; what it took."""
    started = time.perf_counter()
    importer, _ = detect_layout(source)
    cases = importer.find(source)
    scheme = importer.codes(source, cases).scheme
    found = time.perf_counter()
    options = {"scheme": scheme, "layout": importer.name, "source": source, "spacing_mm": spacing}
    import_cohort(cases, out, workers=workers, **options)  # type: ignore[arg-type]
    ended = time.perf_counter()
    return {"finding": found - started, "seconds": ended - found, "peak_mib": peak_mib()}


def main() -> None:
    """Measure and print; or import one folder and print its cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="100,1000", help="numbers of cases, with commas between")
    parser.add_argument("--spacing", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to put the files meanwhile (default: the system's place)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_one(arguments.one, arguments.out, arguments.spacing, arguments.workers)))
        return
    print(f"{platform.machine()}, {time.strftime('%Y-%m-%d')}\n\n| what | value | how |\n|---|--:|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        counts = [int(count) for count in arguments.cases.split(",")]
        measure(print_row, Path(folder), counts, arguments.spacing, arguments.workers)


if __name__ == "__main__":
    main()
