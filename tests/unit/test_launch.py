"""How a process was started is read from its environment, and nothing is taken for a launcher that is none."""

from __future__ import annotations

import pytest

from limbeck.cli import main
from limbeck.errors import UsageError
from limbeck.launch import Launch, launch

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1"}
SRUN = {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4"}


def test_torchrun_and_srun_are_understood_and_torchrun_within_srun_goes_first() -> None:
    assert launch(TORCHRUN) == Launch(3, 4, 1)
    assert launch(SRUN) == Launch(2, 4, 0)
    assert launch({**SRUN, **TORCHRUN}) == Launch(3, 4, 1)
    assert not launch(SRUN).first


def test_a_batch_script_of_several_tasks_is_one_process() -> None:
    assert launch({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}) == Launch()


def test_one_process_of_a_launcher_is_alone() -> None:
    assert launch({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}) == Launch()
    assert launch({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == Launch()


@pytest.mark.parametrize("wrong", [{"RANK": "4"}, {"RANK": "x"}, {"WORLD_SIZE": "-2"}])
def test_an_environment_that_contradicts_itself_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        launch({**TORCHRUN, **wrong})


def test_commands_that_cannot_share_their_work_refuse_to_be_started_several_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert main(["benchmark", "matrix.yaml"]) == 2
    assert capsys.readouterr().err.startswith("limbeck [process 3]: benchmark was started 4 times")
