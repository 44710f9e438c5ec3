"""Scales are of the training part alone, survive being stored, and can be taken back."""

import numpy as np
import pytest

from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.feature_sets.kernel.scaling import METHODS, Scaler

TRAINING = np.arange(200) < 150


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {"x": rng.normal(5, 3, 200), "y": rng.exponential(2, 200), "flat": np.full(200, 4.0)}
    values["x"][::17] = np.nan
    return values


@pytest.mark.parametrize("method", METHODS)
def test_scaled_values_can_be_restored(method: str) -> None:
    values = columns()
    scaler = Scaler.fit(values, TRAINING, method)  # type: ignore[arg-type]
    back = scaler.restore(scaler.transform(values))
    for name, column in values.items():
        np.testing.assert_allclose(back[name], column, rtol=1e-12)
    assert Scaler.from_json(scaler.to_json()) == scaler


@pytest.mark.parametrize("method", METHODS)
def test_rows_outside_of_the_training_part_change_nothing(method: str) -> None:
    values = columns()
    changed = {name: np.where(TRAINING, scaler, 1e9) for name, scaler in values.items()}
    scaler, changed_scaler = (Scaler.fit(v, TRAINING, method) for v in (values, changed))  # type: ignore[arg-type]
    assert scaler == changed_scaler


def test_each_method_brings_the_training_part_to_its_own_form() -> None:
    values = columns()
    scaled = {m: Scaler.fit(values, TRAINING, m).transform(values) for m in METHODS}
    x = {method: values_of["x"][TRAINING] for method, values_of in scaled.items()}
    assert np.nanmean(x["standard"]) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(x["standard"]) == pytest.approx(1)
    assert (np.nanmin(x["minmax"]), np.nanmax(x["minmax"])) == (0, 1)
    assert np.nanmedian(x["robust"]) == pytest.approx(0, abs=1e-12)
    assert all(set(values_of["flat"]) == {0.0} for values_of in scaled.values())


def test_columns_without_a_scale_do_not_change() -> None:
    scaler = Scaler.fit({"x": np.arange(3.0)}, np.ones(3, bool))
    column = np.arange(3.0)
    assert scaler.transform({"other": column})["other"] is column


def test_columns_that_cannot_be_fitted_are_refused() -> None:
    values = {"x": np.array([np.nan, 1.0])}
    with pytest.raises(ConfigError, match="x has no value in the training part"):
        Scaler.fit(values, np.array([True, False]))
    with pytest.raises(ConfigError, match="no row is in the training part"):
        Scaler.fit(values, np.array([False, False]))
    with pytest.raises(ConfigError, match="none of standard, minmax, robust"):
        Scaler.fit(values, np.array([True, True]), "l2")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"method": "l2"}', b"\xff"])
def test_a_damaged_stored_scaler_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptedFileError, match="not a scaler"):
        Scaler.from_json(content)
