"""Spark gives the stored values of expressions, with which this machine is compared everywhere."""

import pytest

from tests.support.features.expressions import ask_spark, read_expected
from tests.support.features.spark import needs_spark

pytestmark = pytest.mark.timeout(900)  # Java starts with the first test


@needs_spark
def test_the_stored_values_are_those_of_spark() -> None:
    expected = read_expected()
    assert ask_spark([*expected]) == expected
