"""The folder of benchmarks is no package: its files import one another by name."""

import sys
from pathlib import Path

# Last, so that no name there hides another's.
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
