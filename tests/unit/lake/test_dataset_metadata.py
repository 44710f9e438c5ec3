"""Metadata of datasets is checked by its schema, times included, by the product's own packages."""

import pytest
from jsonschema import FormatChecker

from gigacast.errors import CorruptedFileError
from gigacast.lake.dataset import metadata


@pytest.mark.parametrize(
    ("time", "is_one"),
    [
        ("2026-11-30T12:00:00Z", True),
        ("2026-11-30t12:00:00.123456+01:00", True),
        ("2026-11-30T12:00:00", False),
        ("2026-11-30", False),
        ("2026-02-30T12:00:00Z", False),
        ("20261130T120000Z", False),
        ("soon", False),
    ],
)
def test_a_time_is_one_of_rfc_3339_without_any_package_for_it(
    monkeypatch: pytest.MonkeyPatch, time: str, is_one: bool
) -> None:
    monkeypatch.delitem(FormatChecker.checkers, "date-time", raising=False)
    metadata._validator.cache_clear()
    errors = [e.validator for e in metadata._validator().iter_errors({"created_at": time})]
    assert ("format" not in errors) == is_one
    with pytest.raises(CorruptedFileError):
        metadata.check_metadata({"created_at": time}, "metadata.json")
    metadata._validator.cache_clear()
