"""Features computed by several processes are those of one."""

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import ConfigError, SchemaError, TaskError
from gigacast.feature_sets.kernel.compute import Setting
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.parallel import ComputeSetup, _error_of, compute_in_processes
from gigacast.runtime.executor import Failure

RECIPE = Recipe.from_dict(
    {
        "name": "mine",
        "features": [
            {"kind": "rolling", "column": "close", "window": [3, 5]},
            {"kind": "lag", "column": "close", "steps": 2},
        ],
    }
)


def panel(items: int = 7, rows: int = 40) -> pa.Table:
    """Rows of some items, of different numbers and in any order."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, rows, items)
    ids = np.repeat([f"item-{number}" for number in range(items)], lengths)
    times = np.concatenate([np.arange(n) for n in lengths]).astype("M8[m]").astype("M8[us]")
    order = rng.permutation(len(ids))
    table = pa.table({"symbol": ids, "timestamp": times, "close": rng.normal(size=len(ids))})
    return table.take(order)


def features(n_jobs: int, table: pa.Table, items: tuple[str, ...] = ("symbol",)) -> pa.Table:
    setup = ComputeSetup(RECIPE, Setting("timestamp", items))
    return pa.concat_tables(compute_in_processes(iter([table]), setup, n_jobs, 20))


def test_the_number_of_processes_does_not_change_the_features() -> None:
    table = panel()
    assert features(2, table).combine_chunks().equals(features(1, table).combine_chunks())
    # A single item is one task.
    lone = panel(1)
    assert features(2, lone).equals(features(1, lone))


def test_errors_of_other_processes_are_those_of_this_one() -> None:
    failure = Failure("SchemaError", "holds no numbers", "name another")
    assert type(_error_of(failure)) is SchemaError
    assert type(_error_of(Failure("ValueError", "x"))) is TaskError
    with pytest.raises(ConfigError, match="n_jobs: 0"):
        features(0, panel())
