"""Work over the children of arrays: nothing lost, ends together, always the same."""

import itertools
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.cost import array_plan
from gigacast.core.cost.array_plan import (
    Machine,
    choose_queue,
    count_children,
    divide_work,
    split_arrays,
)

SIZES = st.lists(st.integers(0, 10**9), max_size=200)


@given(sizes=SIZES, parts=st.integers(1, 40))
def test_every_task_is_in_one_part_and_none_is_empty(sizes: list[int], parts: int) -> None:
    shares = divide_work(sizes, parts)
    assert sorted(task for share in shares for task in share) == list(range(len(sizes)))
    assert len(shares) == min(parts, len(sizes))
    assert all(shares)


@given(sizes=SIZES, parts=st.integers(1, 40))
def test_the_same_work_is_divided_in_the_same_way(sizes: list[int], parts: int) -> None:
    assert divide_work(sizes, parts) == divide_work(list(sizes), parts)


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=7), parts=st.integers(1, 3))
def test_the_longest_part_is_at_most_four_thirds_of_the_best(sizes: list[int], parts: int) -> None:
    longest = max(sum(sizes[task] for task in share) for share in divide_work(sizes, parts))
    best = min(
        max(
            sum(size for size, p in zip(sizes, chosen, strict=True) if p == n) for n in range(parts)
        )
        for chosen in itertools.product(range(parts), repeat=len(sizes))
    )
    assert longest <= best * (4 / 3)


@given(sizes=st.one_of(SIZES, st.lists(st.integers(0, 4), max_size=200)), parts=st.integers(1, 40))
def test_a_round_of_parts_at_a_time_is_one_part_at_a_time(sizes: list[int], parts: int) -> None:
    one_by_one = divide_work(sizes, parts)
    with mock.patch.object(array_plan, "_MANY_PARTS", 1):
        assert divide_work(sizes, parts) == one_by_one


def test_parts_and_tasks_come_longest_first() -> None:
    assert divide_work([1, 9, 5, 5, 2], 2) == [[1, 4], [2, 3, 0]]


@given(children=st.integers(0, 60_000))
def test_arrays_cover_all_children_and_are_of_a_size_batch_takes(children: int) -> None:
    arrays = split_arrays(children)
    numbers = [n for first, size in arrays for n in range(first, first + size)]
    assert numbers == list(range(children))
    assert len(arrays) == -(-children // 10_000)
    if children > 1:
        assert all(2 <= array.size <= 10_000 for array in arrays)


def test_more_than_ten_thousand_children_are_several_arrays() -> None:
    assert split_arrays(1) == [(0, 1)]
    assert split_arrays(10_000) == [(0, 10_000)]
    assert split_arrays(10_001) == [(0, 5_001), (5_001, 5_000)]


def test_the_queue_is_the_one_on_which_the_work_costs_less() -> None:
    cpu, gpu = Machine(120, 1, 0.30), Machine(300, 12, 0.45)
    # (120 + x) * 0.30 = (300 + x / 12) * 0.45  at  x = 377.1
    assert choose_queue(370, cpu, gpu) == "cpu"
    assert choose_queue(385, cpu, gpu) == "gpu"
    assert choose_queue(0, cpu, cpu) == "cpu"


def test_as_many_children_as_have_enough_to_do() -> None:
    machine = Machine(300, 10, 0.45)
    assert count_children(0, 5, machine, 900, 100) == 1
    assert count_children(9_000 * 7, 1000, machine, 900, 100) == 8
    assert count_children(9_000 * 7, 3, machine, 900, 100) == 3
    assert count_children(1e9, 10**6, machine, 900, 10_000) == 10_000
    assert count_children(1e9, 0, machine, 900, 10_000) == 0
