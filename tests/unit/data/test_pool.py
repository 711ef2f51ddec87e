"""Work on many cases: all of it is done, little of it at once, and a death is told."""

import os
import time

import pytest

from limbeck.data.pool import each
from limbeck.errors import ResourceError


def double(number):
    return 2 * number, os.getpid()


def die(number):
    os._exit(number)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_its_result(workers):
    results = list(each(double, range(9), workers))
    assert sorted(result for result, _ in results) == [2 * number for number in range(9)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)


def test_few_items_start_no_process():
    assert {process for _, process in each(double, range(7))} == {os.getpid()}


def test_items_are_taken_as_they_are_needed():
    taken = []

    class Items(list):
        def __iter__(self):
            for item in super().__iter__():
                taken.append(item)
                yield item

    results = each(double, Items(range(40)), 2)
    next(results)
    assert len(taken) <= 8
    results.close()


def test_who_takes_no_more_results_does_not_wait_for_them():
    results = each(time.sleep, [0, *[120] * 4], 2)
    next(results)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 60


def test_a_worker_that_is_killed_is_told():
    with pytest.raises(ResourceError, match="killed"):
        list(each(die, [1, 1], 2))
