"""Train a teacher and a distilled FLAIR student on synthetic patients, in a few minutes on a laptop."""

from pathlib import Path

from limbeck.data.cohort import import_cohort
from limbeck.data.dataset import SamplingSettings
from limbeck.data.importers import detect_layout
from limbeck.experiment import plan, run
from limbeck.methods import find
from limbeck.phantom.cohort import write
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import TrainingSettings


def train(out: Path, cases: int = 20, steps: int = 200, spacing_mm: float = 2.0, patch: int = 48) -> Path:
    """Make patients, import them, train both networks; gives the student's run folder."""
    write(out / "phantoms", cases, spacing_mm=spacing_mm)
    importer, explanation = detect_layout(out / "phantoms")
    print(explanation)
    cohort = import_cohort(
        importer.find(out / "phantoms"),
        out / "cohort",
        spacing_mm=spacing_mm,
        scheme=importer.scheme(out / "phantoms"),
        layout=importer.name,
        source=out / "phantoms",
    )
    teacher = None
    for method, subset in (("supervised", "all"), ("gkd", "flair")):
        parts = {
            "method_settings": find(method).Settings(width=8),
            "training": TrainingSettings(steps=steps, validate_every=0),
            "optimiser": OptimiserSettings(learning_rate=2e-3),
            "sampling": SamplingSettings(patch=(patch, patch, patch)),
        }
        teacher = run(plan(method, subset, teacher, parts), cohort, out / "runs")
        print(teacher)
    assert teacher is not None
    return teacher


if __name__ == "__main__":
    train(Path("example"))
