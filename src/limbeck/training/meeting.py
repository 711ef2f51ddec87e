"""Several processes meet before the first of their runs: they agree on what is trained, and on what is left of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from limbeck import ranks
from limbeck.errors import UsageError
from limbeck.launch import launch
from limbeck.training.trainer import TrainingSettings, fabric_for

APART = (
    "expected the same command for all; for trainings apart take a job array, or "
    "`env -u SLURM_STEP_NUM_TASKS limbeck train ...` in each task of srun"
)


def left_of(finished: Mapping[Path, bool], settings: TrainingSettings) -> list[Path]:
    """The runs that are not finished, in the order given; of several processes, what the first one sees counts.

    Args:
        finished: folder -> whether it is, of all runs that this process was asked for.
        settings: where they compute.

    Raises:
        UsageError: the processes were asked for different runs.
    """
    seen = {str(folder): done for folder, done in finished.items()}
    if finished and launch().processes > 1:
        # Here, and not once there is something to train: one that turned back before would leave the others waiting.
        fabric_for(settings)
        everywhere = [json.loads(text) for text in ranks.told(json.dumps(seen))]
        _refuse_different([list(each) for each in everywhere])
        seen = everywhere[0]
    return [folder for folder in finished if not seen[str(folder)]]


def _refuse_different(asked: Sequence[Sequence[str]]) -> None:
    for rank, folders in enumerate(asked):
        if folders == asked[0]:
            continue
        found = f"process 0 of {len(asked)} trains {', '.join(asked[0])} and process {rank} {', '.join(folders)}"
        raise UsageError(f"started as one training, {found}: {APART}")
