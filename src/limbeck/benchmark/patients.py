"""Whom a benchmark compares on: a cohort that was given, or phantoms that are made once in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from limbeck.benchmark.matrix import Phantoms
from limbeck.benchmark.state import locked
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.importers import detect_layout
from limbeck.phantom.cohort import RECORD, VERSION, refuse_more
from limbeck.phantom.cohort import write as write_phantoms

# A function that shows a stage's progress: title and total in, a function that takes what is done out.
Bar = Callable[[str, int], AbstractContextManager[Callable[..., None]]]
COHORT, SOURCE = "cohort", "phantoms"


@dataclass(frozen=True)
class Patients:
    """Phantoms in a benchmark's folder.

    Attributes:
        out: the folder; gets `phantoms/` and `cohort/`.
        asked: what the matrix says.
    """

    out: Path
    asked: Phantoms

    def there(self) -> Cohort | None:
        """The cohort, if it was made as asked; touches nothing."""
        try:
            made = json.loads((self.out / SOURCE / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(made, dict):
            return None
        asked = (VERSION, self.asked.seed, self.asked.spacing, self.asked.cases)
        same = asked == tuple(made.get(key) for key in ("version", "seed", "spacing_mm", "cases"))
        folder = self.out / COHORT
        return Cohort.open(folder) if same and (folder / "cohort.json").is_file() else None

    def make(self, workers: int, bar: Bar) -> Cohort:
        """The cohort, made if it is not there; of several processes one makes it.

        Raises:
            UsageError: the folder holds other phantoms.
        """
        with locked(self.out, COHORT, wait=True):
            return self.there() or self._made(workers, bar)

    def _made(self, workers: int, bar: Bar) -> Cohort:
        source, cases, spacing = self.out / SOURCE, self.asked.cases, self.asked.spacing
        refuse_more(source, cases)
        with bar("Phantoms", cases) as advance:
            write_phantoms(source, cases, seed=self.asked.seed, spacing_mm=spacing, workers=workers, progress=advance)
        importer, _ = detect_layout(source)
        with bar("Import", cases) as advance:
            return import_cohort(
                importer.find(source),
                self.out / COHORT,
                spacing_mm=spacing,
                scheme=importer.scheme(source),
                layout=importer.name,
                source=source,
                workers=workers,
                progress=advance,
            )
