"""How what is asked for differs from the run that is most like it: in what decides a result, and in nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml

from limbeck.training.record import nearest_record


def test_where_a_run_computes_is_no_difference(tmp_path: Path) -> None:
    then = {"method": "gkd", "subset": "flair", "steps": 7, "device": "cpu", "save_every": 4}
    hashes = {"data": "a" * 64, "split": "b" * 64, "augmentation": "c" * 64}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(then | hashes))
    now = then | hashes | {"steps": 9, "device": "cuda", "save_every": 5, "compile": False, "workers": 2}
    assert nearest_record([tmp_path], now) == "steps was 7, is 9"
