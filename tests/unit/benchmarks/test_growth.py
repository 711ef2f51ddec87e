"""How growth is read from costs: made-up costs of known growth."""

import pytest
from benching import loaded

growth = loaded("growth")


def test_a_square_is_a_power_of_two_and_a_fixed_cost_of_nought():
    assert growth.power([100, 300, 1000], [1.0, 9.0, 100.0]) == pytest.approx(2)
    assert growth.power([100, 300, 1000], [5.0, 5.0, 5.0]) == pytest.approx(0)


def test_a_further_case_costs_what_the_larger_has_more():
    assert growth.further([100, 300, 1000], [6.0, 8.0, 15.0]) == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize(
    ("seconds", "mib", "told"), [(10.0, 110.0, "as aimed at"), (20.0, 100.0, "NOT"), (9.0, 130.0, "NOT")]
)
def test_the_aims_are_judged(seconds, mib, told):
    rows = []
    costs = {10: growth.Cost(1, 1.0, 100.0), 100: growth.Cost(1, seconds, mib)}
    growth.growth(lambda *cells: rows.append(cells), "import", costs)
    assert told in rows[0][2]
    assert ("NOT" in rows[0][2]) == (told == "NOT")
