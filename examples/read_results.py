"""Read a results table and print each run's mean Dice by region: read_results.py results.csv."""

import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from limbeck.evaluation.table import read


def means(path: Path) -> dict[tuple[str, str, str], float]:
    """(run, subset, region) -> mean Dice over the cases."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in read(path):
        if row.metric == "dice":
            values[row.run, str(row.subset), row.region.name].append(row.value)
    return {key: fmean(found) for key, found in values.items()}


if __name__ == "__main__":
    for (run, subset, region), value in means(Path(sys.argv[1])).items():
        print(f"{run:<50} {subset:<20} {region}  {value:.3f}")
