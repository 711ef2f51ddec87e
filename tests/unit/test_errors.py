"""Exit codes of the public contract, and the nearest name."""

from __future__ import annotations

import pytest

from limbeck import errors
from limbeck.errors import LimbeckError, nearest

EXIT_CODES = {"UsageError": 2, "DataError": 3, "ModelError": 4, "ResourceError": 5, "PartialError": 6}


def test_every_foreseen_failure_has_the_exit_code_of_the_contract() -> None:
    found = {
        kind.__name__: kind.exit_code for kind in LimbeckError.__subclasses__() if kind.__module__ == errors.__name__
    }
    assert found == EXIT_CODES


def test_no_failure_ends_with_success() -> None:
    assert LimbeckError.exit_code != 0


def test_the_text_of_an_error_is_its_line() -> None:
    assert str(errors.DataError("case A: no labels")) == "case A: no labels"


@pytest.mark.parametrize(
    ("name", "end"), [("gdk", "; did you mean 'gkd'?"), ("Dropuot", "; did you mean 'dropout'?"), ("zzz", "")]
)
def test_the_nearest_name_is_offered_only_if_it_is_near(name: str, end: str) -> None:
    assert nearest(name, iter(["supervised", "dropout", "gkd"])) == end
