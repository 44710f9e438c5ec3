"""Accuracy as figures: over origins, months and steps, only where there are some."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.errors import CorruptedFileError
from gigacast.forecasting.read import Generation
from gigacast.report.document import Figure, Heading, Scale, Table
from gigacast.reporting.accuracy import accuracy_blocks, find_evaluation, read_evaluation
from gigacast.reporting.sample import rank
from gigacast.storage.memory import MemoryStore, forget_memory


def row(model: str, by: str, label: str, wql: float | None) -> dict[str, Any]:
    figures = {"wql": wql, "mase": 1.5, "bias": 0.1, "steps": 7}
    return {"model": model, by: label, **figures, "coverage": [0.2, 0.6, 0.8]}


def evaluation(**parts: Any) -> dict[str, Any]:
    return {"levels": {"m/1": [0.1, 0.5, 0.9]}, "version": [row("m/1", "version", "all", 0.2)],
            **parts}  # fmt: skip


def headings(values: dict[str, Any]) -> list[str]:
    return [block.text for block in accuracy_blocks(values) if isinstance(block, Heading)]


def test_a_panel_is_drawn_only_where_there_are_figures_for_it() -> None:
    assert headings({}) == []
    assert headings(evaluation()) == ["Calibration curve", "Accuracy by version"]
    single = evaluation(month=[row("m/1", "month", "2024-01", 0.2)])
    assert "Accuracy by month" not in headings(single)


def test_accuracy_over_origins_is_a_line_per_model_in_the_order_of_time() -> None:
    origins = [
        row("m/1", "origin", "2026-11-03", 0.3),
        row("m/1", "origin", "2026-11-01", 0.1),
        row("n/1", "origin", "2026-11-02T12:00:00+00:00", 0.2),
        row("m/1", "origin", "2026-11-04", None),
    ]
    blocks = accuracy_blocks(evaluation(origin=origins))
    figure = next(block for block in blocks if isinstance(block, Figure))
    assert figure.scale is Scale.TIME
    assert figure.places is not None
    assert np.diff(figure.places).tolist() == [129_600, 43_200]
    first, second = (np.array(curve.values) for curve in figure.curves)
    np.testing.assert_array_equal(first, [0.1, np.nan, 0.3])
    np.testing.assert_array_equal(second, [np.nan, 0.2, np.nan])


def test_steps_are_in_the_order_of_numbers() -> None:
    steps = [row("m/1", "step", str(n), n / 10) for n in (10, 2, 1)]
    blocks = accuracy_blocks(evaluation(step=steps))
    figure = next(block for block in blocks if isinstance(block, Figure))
    assert figure.x == ("1", "2", "10")


def test_the_latest_evaluation_of_a_version_is_found_and_a_damaged_one_passed_over() -> None:
    store = MemoryStore("evaluations")
    store.put("evaluations/a.json", json.dumps(evaluation(steps=1)).encode())
    store.put("evaluations/b.json", b"{not json")
    latest = find_evaluation(store, Generation("m", "1", "h3-q3-00000000", 0))
    assert latest is not None
    assert latest["levels"] == {"m/1": [0.1, 0.5, 0.9]}
    assert find_evaluation(store, Generation("m", "10", "h3-q3-00000000", 0)) is None
    forget_memory("evaluations")


def test_only_the_figures_of_the_spec_of_a_run_are_on_its_page() -> None:
    store = MemoryStore("two-specs")
    rows = [row(name, "version", "all", 0.3) for name in ("m/1/a", "m/1/b", "m/10")]
    levels = {str(entry["model"]): [0.1, 0.5, 0.9] for entry in rows}
    store.put("evaluations/a.json", json.dumps({"levels": levels, "version": rows}).encode())
    latest = find_evaluation(store, Generation("m", "1", "b", 0))
    assert latest is not None
    assert [entry["model"] for entry in latest["version"]] == ["m/1/b"]
    forget_memory("two-specs")


def test_a_calibration_whose_levels_do_not_fit_is_left_out() -> None:
    assert "Calibration curve" not in headings({**evaluation(), "levels": {"m/1": [0.1, 0.9]}})


@pytest.mark.parametrize(
    "content",
    [
        *(b"[]", b'{"version": 3}', b'{"version": [{"model": 1}]}', b'{"levels": {"m": ["x"]}}'),
        b'{"version": [{"model": "m/1", "coverage": ["x"]}]}',
    ],
)
def test_an_evaluation_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptedFileError, match=r"evaluations/x\.json"):
        read_evaluation(content, "evaluations/x.json")


def test_the_table_has_the_figures_of_each_version() -> None:
    table = next(b for b in accuracy_blocks(evaluation()) if isinstance(b, Table))
    assert table.rows == (("m/1", 0.2, 1.5, 0.1, 7),)


def test_series_are_ranked_by_loss_where_values_have_come_and_by_width_elsewhere() -> None:
    levels = (0.1, 0.5, 0.9)
    median = np.full((2, 2), 10.0, np.float32)
    spread = np.array([[-1, 0, 1], [-2, 0, 2]], np.float32)
    quantiles = median[..., None] + spread[:, None, :]
    actual = np.array([[12, np.nan], [np.nan, np.nan]], np.float32)
    wql, width = rank(Forecasts(pa.table({}), median, quantiles, levels), actual)
    losses = [2 * level * (12 - q) for level, q in zip(levels, (9, 10, 11), strict=True)]
    assert wql[0] == pytest.approx(sum(losses) / 3 / 12)
    assert np.isnan(wql[1])
    assert width.tolist() == pytest.approx([0.2, 0.4])


def test_a_series_that_fell_to_zero_has_a_loss() -> None:
    median = np.full((1, 2), 10.0, np.float32)
    quantiles = np.stack([median - 1, median, median + 1], axis=2)
    forecasts = Forecasts(pa.table({}), median, quantiles, (0.1, 0.5, 0.9))
    wql, _ = rank(forecasts, np.zeros((1, 2), np.float32))
    losses = [2 * (1 - level) * q for level, q in zip((0.1, 0.5, 0.9), (9, 10, 11), strict=True)]
    assert wql[0] == pytest.approx(sum(losses) / 3 / 10)
