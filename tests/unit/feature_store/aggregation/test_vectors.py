"""Vectors of Chronon's own tests that concern aggregation, where the reference data are at hand."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.operation import Call, make_operation
from gigacast.feature_store.aggregation.row_state import Part, RowState

VECTORS = Path(__file__).parents[5] / "shared" / "feature_store" / "vectors"
TYPES = {
    "long": pa.int64(),
    "int": pa.int32(),
    "float": pa.float32(),
    "string": pa.string(),
    "list<int>": pa.list_(pa.int32()),
    "list<string>": pa.list_(pa.string()),
    "list<float>": pa.list_(pa.float32()),
    "list<double>": pa.list_(pa.float64()),
    "map<string,int>": pa.map_(pa.string(), pa.int32()),
}


def read(name: str) -> Any:
    path = VECTORS / f"{name}.json"
    if not path.exists():
        pytest.skip("the reference vectors are not at hand")
    return json.loads(path.read_text())


def make_states(vector: Any) -> tuple[RowState, list[Any]]:
    schema = pa.schema([(name, TYPES[kind]) for name, kind in vector["schema"]])
    parts = [
        Part(
            str(n),
            spec["input_column"],
            Call(spec["operation"], spec.get("k")),
            bucket=spec.get("bucket"),
            element_wise=spec.get("element_wise", False),
        )
        for n, spec in enumerate(vector["aggregations"])
    ]
    return RowState(parts, schema), schema.names


def compare(states: RowState, merged: list[Any], vector: Any) -> None:
    features = states.finish(states.decode(states.encode(merged)))
    for n, spec in enumerate(vector["aggregations"]):
        expected, feature = spec["expected"], features[str(n)]
        if isinstance(feature, dict):
            expected = dict(expected)
        assert feature == expected, spec


def test_rows_merged_and_deleted_give_the_vectors_values() -> None:
    vector = read("row_aggregator_update")
    states, names = make_states(vector)
    pieces = []
    for piece in (vector["rows"][:3], vector["rows"][3:]):
        state = states.empty()
        for values in piece:
            state = states.update(state, dict(zip(names, values, strict=True)), values[0])
        pieces.append(state)
    merged = states.merge(*pieces)
    for values in vector["deletes"]:
        merged = states.delete(merged, dict(zip(names, values, strict=True)), values[0])
    compare(states, merged, vector)


def test_a_tile_with_a_tie_gives_the_vectors_values_in_any_order() -> None:
    vector = read("tile_round_trip")
    states, names = make_states(vector)
    for shift in range(3):
        state = states.empty()
        for values in [*vector["rows"][shift:], *vector["rows"][:shift]]:
            state = states.update(state, dict(zip(names, values, strict=True)), values[0])
        compare(states, state, vector)


def test_lists_are_aggregated_element_wise_as_in_the_vectors() -> None:
    vector = read("element_wise")
    for case in vector["cases"]:
        schema = pa.schema([("v", TYPES[vector["input_type"]])])
        part = Part("f", "v", Call(case["operation"]), element_wise=True)
        states = RowState([part], schema)

        def run(case: Any = case, states: RowState = states) -> Any:
            state = states.empty()
            for step in case["steps"]:
                (kind, content), *_ = step.items()
                if kind == "merge":
                    second = states.empty()
                    for value in content:
                        second = states.update(second, {"v": value}, 0)
                    state = states.merge(state, second)
                else:
                    move = states.update if kind == "update" else states.delete
                    state = move(state, {"v": content}, 0)
            return states.finish(state)["f"]

        if "error" in case:
            with pytest.raises(DataError):
                run()
        else:
            assert run() == case["expected"], case["test"]


def test_approximate_histograms_give_the_vectors_counts() -> None:
    vector = read("approx_histogram_k")
    operation = make_operation(Call(vector["operation"], vector["k"]), pa.string())
    for case in vector["cases"]:
        states = []
        for counts in filter(None, (case["counts"], case.get("merge"))):
            state = None
            for value, n in counts:
                for _ in range(n):
                    state = operation.update(state, value, 0)
            states.append(state)
        state = states[0] if len(states) == 1 else operation.merge(*states)
        assert isinstance(state, dict) == case.get("exact", isinstance(state, dict))
        state = operation.decode(operation.encode(state))
        assert operation.finish(state) == dict(case["expected"]), case["test"]


def test_approximate_distinct_counts_are_within_the_vectors_bounds() -> None:
    vector = read("approx_unique_count_bounds")
    operation = make_operation(Call("APPROX_UNIQUE_COUNT", vector["lg_k"]), pa.int64())
    for case in vector["cases"]:
        merged: Any = None
        for piece in np.array_split(np.arange(1, case["n"] + 1), case.get("merges", 1)):
            state = None
            for value in np.repeat(piece, 3).tolist():
                state = operation.update(state, value, 0)
            merged = state if merged is None else operation.merge(merged, state)
        assert abs(operation.finish(merged) - case["n"]) < case["bound"], case


def test_the_kept_least_values_are_those_of_the_vector() -> None:
    vector = read("top_k_heap")
    operation = make_operation(Call("BOTTOM_K", vector["keep"]), pa.int64())
    states = []
    for name in ("first", "second"):
        state = None
        for value in vector[name]:
            state = operation.update(state, value, 0)
        assert sorted(operation.finish(state)) == sorted(vector[f"{name}_kept"])
        states.append(state)
    assert sorted(operation.finish(operation.merge(*states))) == sorted(vector["merged_kept"])


def test_variance_is_exact_where_the_vector_allows_an_error() -> None:
    for case in read("variance")["cases"]:
        rng = random.Random(0)
        # The vector has a million values; exact states show their errors with far fewer.
        values = [rng.uniform(case["low"], case["high"]) for _ in range(5000)]
        operation = make_operation(Call("VARIANCE"), pa.float64())
        merged: Any = None
        for start in range(0, len(values), case["chunk"]):
            state = None
            for value in values[start : start + case["chunk"]]:
                state = operation.update(state, value, 0)
            merged = state if merged is None else operation.merge(merged, state)
        two_pass = np.mean((np.array(values) - np.mean(values)) ** 2)
        assert operation.finish(merged) == pytest.approx(two_pass, rel=1e-9)
