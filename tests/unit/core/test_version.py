"""Versions: one spelling, a total order, and which step a change asks for."""

import itertools

import pytest

from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.dataset.version import Change, Version
from gigacast.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("v3", "v3"), ("3", "v3"), ("v3.0.0", "v3"), ("v3.1.0", "v3.1"), ("v0.0.1", "v0.0.1")],
)
def test_a_version_has_one_spelling(text: str, spelled: str) -> None:
    assert str(Version.parse(text)) == spelled
    assert Version.parse(spelled) == Version.parse(text)


@pytest.mark.parametrize("text", ["", "v", "vX", "v1.2.3.4", "v01", "1..2", "latest", "v-1", "v1 "])
def test_an_invalid_version_is_refused(text: str) -> None:
    assert Version.find(text) is None
    with pytest.raises(ConfigError, match="is not a version"):
        Version.parse(text)


def test_the_order_is_that_of_numbers_not_of_text() -> None:
    texts = ["v0.9", "v1", "v1.0.1", "v1.2", "v1.10", "v2", "v10"]
    assert [str(v) for v in sorted(map(Version.parse, reversed(texts)))] == texts


def test_the_next_version_number_follows_the_kind_of_change() -> None:
    for numbers, change in itertools.product([(1, 0, 0), (1, 2, 3)], Change):
        version = Version(*numbers)
        assert version.next(change).raised_from(version) is change
    assert Version(2).raised_from(Version(2)) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cleaned/MES", "cleaned/latest/MES"),
        ("cleaned/latest/MES", "cleaned/latest/MES"),
        ("/cleaned/v1.0/MES/", "cleaned/v1/MES"),
        ("raw/MES", "raw/MES/latest"),
        ("raw/MES/2024-01-15", "raw/MES/2024-01-15"),
        ("features/v2/momentum", "features/v2/momentum"),
    ],
)
def test_a_dataset_is_named_as_its_folder(text: str, shown: str) -> None:
    assert str(DatasetRef.parse(text)) == shown
    assert DatasetRef.parse(shown) == DatasetRef.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MES",
        "gold/MES",
        "cleaned",
        "cleaned/v1",
        "cleaned/v1/v2",
        "cleaned/v1/MES/x",
        "raw/v1/MES",
        "raw/MES/monday",
        "raw/MES/2024-02-30",
        "cleaned/v1/../MES",
        "cleaned/v1/latest",
        "raw/2024-01-15",
    ],
)
def test_a_text_that_is_not_a_dataset_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        DatasetRef.parse(text)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "bucket/lake/cleaned/v1/MES/a/b.parquet",
            ("bucket/lake", "cleaned/v1/MES", "a/b.parquet"),
        ),
        ("cleaned/v1/MES", ("", "cleaned/v1/MES", "")),
        ("raw/raw/MES/2024-01-15", ("raw", "raw/MES/2024-01-15", "")),
        ("data/raw/2014/03/x.parquet", None),
        ("raw/EURUSD", None),
    ],
)
def test_a_dataset_is_found_in_a_path(path: str, expected: tuple[str, str, str] | None) -> None:
    got = DatasetRef.find(path)
    assert (got if got is None else (got[0], str(got[1]), got[2])) == expected
