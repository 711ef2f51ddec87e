"""The estimate on paper against numbers made by hand: laying out work, sharing a teacher's pass, counting seconds."""

import pytest
from benching import loaded

estimate = loaded("estimate")
Work, lay_out = estimate.Work, estimate.lay_out
RATES = estimate.Rates("a machine", "a clock", 0.5, 2.0, 1.0, 0.25, {"gkd": 3.0, "dropout": 1.5}, {})


def test_teachers_come_first_and_the_longest_of_the_rest():
    works = [Work("a", 3), Work("b", 5), Work("teacher", 2), Work("student", 4, after="teacher")]
    # One device: 14 s of work. Two: teacher (0-2) and b (0-5) begin; student (2-6) takes the first, a (5-8) the other.
    assert lay_out(works, 1) == estimate.Layout(14, 1)
    assert lay_out(works, 2) == estimate.Layout(8, 14 / 16)


def test_a_student_waits_for_its_teacher_however_many_devices_are_free():
    works = [Work("teacher", 10, rest=2), *(Work(f"student {number}", 5, after="teacher") for number in range(15))]
    assert lay_out(works, 64).seconds == 17
    assert lay_out(works, 64).busy == pytest.approx((12 + 75) / (64 * 17))


def test_a_teacher_that_never_comes_is_told():
    with pytest.raises(ValueError, match=r"student waits for nobody"):
        lay_out([Work("student", 1, after="nobody")], 2)


def test_fifteen_together_cost_the_measured_share_and_one_alone_nothing_less():
    assert estimate.share_of(15, 0.7) == pytest.approx(0.7)
    assert estimate.share_of(1, 0.7) == 1
    # A student of 2 s, of which the teacher's pass is 1: three together cost 1 + 3 of 6, fifteen 1 + 15 of 30.
    assert estimate.share_of(3, 16 / 30) == pytest.approx(4 / 6)


def test_only_students_of_one_teacher_learn_together():
    students = [Work(f"gkd {number}", 30, 1, f"teacher {number // 15}", "gkd") for number in range(30)]
    others = [Work("teacher 0", 9, method="supervised"), Work("teacher 1", 9, method="supervised"), Work("rirn", 7)]
    found = estimate.together([*students, *others], {"gkd": 16 / 30}, 15)
    groups = [work for work in found if work.method == "gkd"]
    assert [(work.students, work.after) for work in groups] == [(15, "teacher 0"), (15, "teacher 1")]
    # Training is shared, scoring is not.
    assert [work.seconds for work in groups] == pytest.approx([15 * 30 * 16 / 30 + 15] * 2)
    assert [work.name for work in found if work.method != "gkd"] == ["teacher 0", "teacher 1", "rirn"]
    assert len([work for work in estimate.together(students, {"gkd": 0.5}, 4) if work.students == 3]) == 2


def test_a_network_costs_its_steps_its_looks_and_its_scores():
    cells = estimate.cells_of(["gkd", "dropout"])
    # 2,000 steps; four looks at 100 of 1,000 cases from one subset; 200 test cases from one.
    student = estimate.work_of(cells["gkd-flair-f0-s0"], RATES, 1000)
    assert student.after == "supervised-flair+t1+t1ce+t2-f0-s0"
    assert student.training == 2000 * 3
    assert student.rest == pytest.approx(4 * 100 * 2.25 + 200 * 3)
    # A generalist is judged by five subsets, and scored on 15.
    generalist = estimate.work_of(cells["dropout-any-f0-s0"], RATES, 1000)
    assert generalist.rest == pytest.approx(4 * 100 * 5 * 2.25 + 200 * 15 * 3)


def test_the_matrix_is_all_methods_on_what_they_serve():
    cells = estimate.cells_of()
    methods = [cell.method for cell in cells.values()]
    counts = {method: methods.count(method) for method in sorted(set(methods))}
    wanted = {"choi": 75, "dropout": 5, "gkd": 75, "mtcmkd": 20, "pkdr": 75, "pkdr_teacher": 5, "rirn": 75}
    assert counts == {**wanted, "supervised": 75}


def test_the_recorded_rates_are_those_of_every_method():
    rates = estimate.read_rates(estimate.ROOT / "docs" / "results" / "rates.json")
    assert set(rates.step_seconds) >= {*estimate.METHODS, "pkdr_teacher"}
    assert min(rates.step_seconds.values()) > 0
