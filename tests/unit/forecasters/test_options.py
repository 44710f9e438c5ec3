"""Options: invalid ones are refused on construction."""

from typing import Any

import pytest

from gigacast.errors import ConfigError
from gigacast.forecasters.options import ForecastOptions


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("horizon", 0),
        ("levels", ()),
        ("levels", (0.9, 0.1)),
        ("min_length", 0),
        ("context_length", 0),
        ("batch_size", 0),
        ("fallback", "guess"),
    ],
)
def test_a_wrong_option_is_refused_and_named(field: str, value: Any):
    # People know the levels as quantiles.
    with pytest.raises(ConfigError, match={"levels": "quantiles"}.get(field, field)):
        ForecastOptions(**{"horizon": 3, field: value})


def test_a_context_shorter_than_the_least_length_is_refused():
    with pytest.raises(ConfigError, match="context_length"):
        ForecastOptions(horizon=1, context_length=5, min_length=6)
