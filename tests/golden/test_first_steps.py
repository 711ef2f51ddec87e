"""The first three steps of every method, as they were when its numbers were last measured.

A change here is a change of results: it belongs under **Results** in the changelog. To record again, run
`PYTHONPATH=tests python tests/golden/test_first_steps.py`, put what it prints in place of RECORDED, and format. The
tolerance leaves room for another processor's order of sums, not for another formula.
"""

from __future__ import annotations

import pytest
import torch
from toy import PROGRESS, batch, make

from limbeck.methods import METHODS
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

RECORDED: dict[str, list[dict[str, float]]] = {
    "supervised": [{"main/segmentation": 3.02649}, {"main/segmentation": 2.10724}, {"main/segmentation": 1.59471}],
    "dropout": [{"main/segmentation": 2.52456}, {"main/segmentation": 1.63401}, {"main/segmentation": 1.38021}],
    "gkd": [
        {"main/segmentation": 3.02649, "main/soft_labels": 0.636621, "main/region_attention": 2.81787},
        {"main/segmentation": 2.30825, "main/soft_labels": 0.475192, "main/region_attention": 1.21275},
        {"main/segmentation": 1.74056, "main/soft_labels": 0.489493, "main/region_attention": 0.521264},
    ],
    "pkdr_teacher": [
        {"main/segmentation": 4.13108, "main/patch_selection": 2.22704},
        {"main/segmentation": 3.61795, "main/patch_selection": 1.42466},
        {"main/segmentation": 3.08451, "main/patch_selection": 1.22019},
    ],
    "pkdr": [
        {
            "main/segmentation": 4.13108,
            "main/patch_selection": 2.22704,
            "main/soft_regions": 0.00265216,
            "main/soft_patches": 0.00214498,
            "main/patch_contrast": 1.15619,
        },
        {
            "main/segmentation": 3.6746,
            "main/patch_selection": 1.43171,
            "main/soft_regions": 0.00419419,
            "main/soft_patches": 0.00482991,
            "main/patch_contrast": 0.49295,
        },
        {
            "main/segmentation": 3.21701,
            "main/patch_selection": 1.22075,
            "main/soft_regions": 0.00636491,
            "main/soft_patches": 0.00637368,
            "main/patch_contrast": 0.151323,
        },
    ],
    "rirn": [
        {
            "main/segmentation": 2.15122,
            "main/class_relation": 2.37303,
            "main/position_relation": 0.000858887,
            "main/fool": 0.680329,
            "teacher/teacher_segmentation": 2.29381,
            "critic/tell_apart": 0.693135,
        },
        {
            "main/segmentation": 2.11444,
            "main/class_relation": 1.3355,
            "main/position_relation": 0.00263683,
            "main/fool": 0.663628,
            "teacher/teacher_segmentation": 1.93393,
            "critic/tell_apart": 0.664899,
        },
        {
            "main/segmentation": 2.09395,
            "main/class_relation": 1.7787,
            "main/position_relation": 0.00585088,
            "main/fool": 0.742698,
            "teacher/teacher_segmentation": 1.47907,
            "critic/tell_apart": 0.600846,
        },
    ],
    "mtcmkd": [
        {
            "teachers/teacher_t1": 1.23726,
            "teachers/teacher_t1ce": 1.08469,
            "teachers/teacher_t2": 1.04918,
            "teachers/fusion": 0.0931279,
            "main/segmentation": 0.789132,
            "main/deep": 0.160661,
            "main/soft_fusion": 0.124993,
            "main/soft_t1": 0.196429,
            "main/soft_t1ce": 0.163904,
            "main/soft_t2": 0.1624,
        },
        {
            "teachers/teacher_t1": 0.81121,
            "teachers/teacher_t1ce": 0.810563,
            "teachers/teacher_t2": 0.831681,
            "teachers/fusion": 0.0879528,
            "main/segmentation": 3.96538,
            "main/deep": 0.0622181,
            "main/soft_fusion": 1.1049,
            "main/soft_t1": 1.61888,
            "main/soft_t1ce": 1.84618,
            "main/soft_t2": 1.48395,
        },
        {
            "teachers/teacher_t1": 0.745446,
            "teachers/teacher_t1ce": 0.618215,
            "teachers/teacher_t2": 0.701837,
            "teachers/fusion": 0.0804818,
            "main/segmentation": 1.16083,
            "main/deep": 0.0693298,
            "main/soft_fusion": 0.530135,
            "main/soft_t1": 0.37797,
            "main/soft_t1ce": 0.44715,
            "main/soft_t2": 0.354818,
        },
    ],
    "choi": [
        {"teacher/teacher_segmentation": 2.66569, "main/segmentation": 3.06885, "main/barlow_twins": 1.18387},
        {"teacher/teacher_segmentation": 1.76882, "main/segmentation": 2.35283, "main/barlow_twins": 0.699483},
        {"teacher/teacher_segmentation": 1.35911, "main/segmentation": 2.00711, "main/barlow_twins": 0.403324},
    ],
    "limbeck": [
        {"main/segmentation": 4.70063, "main/soft_labels": 0.074731},
        {"main/segmentation": 3.44218, "main/soft_labels": 0.555288},
        {"main/segmentation": 2.12481, "main/soft_labels": 0.521155},
    ],
}


def first_steps(name: str) -> list[dict[str, float]]:
    """Every term of three steps on toy patients, float32."""
    torch.use_deterministic_algorithms(True)
    try:
        return _first_steps(name)
    finally:
        torch.use_deterministic_algorithms(False)


def _first_steps(name: str) -> list[dict[str, float]]:
    method = make(name)
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=1e-3))
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    rows = []
    for index in range(3):
        row: dict[str, float] = {}
        for yielded in method.train().training_step(batch(method.context.subsets, seed=index), PROGRESS):
            row |= {f"{g}/{t}": float(v.detach()) for g, terms in yielded.items() for t, v in terms.items()}
            optimisers.descend(fabric, yielded)
        rows.append(row)
    return rows


@pytest.mark.parametrize("name", METHODS)
def test_first_steps_are_the_recorded_ones(name: str) -> None:
    found = first_steps(name)
    assert [row.keys() for row in found] == [row.keys() for row in RECORDED[name]]
    for row, recorded in zip(found, RECORDED[name], strict=True):
        assert row == pytest.approx(recorded, rel=2e-4)


def test_every_method_of_the_list_is_recorded() -> None:
    assert list(RECORDED) == list(METHODS)


def recording() -> str:
    """RECORDED as it would be now, ready to be put into this file; six digits that count."""
    rounded = {
        name: [{term: float(f"{v:.6g}") for term, v in row.items()} for row in first_steps(name)] for name in METHODS
    }
    return f"RECORDED: dict[str, list[dict[str, float]]] = {rounded!r}"


if __name__ == "__main__":
    torch.set_num_threads(1)  # as in tests/conftest.py
    print(recording())
