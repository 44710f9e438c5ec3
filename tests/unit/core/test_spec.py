"""Specs and digests: the same for the same, another for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.digest import digest_etags, digest_value
from gigacast.core.partition.spec import Spec, check_segment, horizon_of_spec
from gigacast.errors import ConfigError

FIELDS = {"digest": "abc", "precision": "float32"}
SPEC = Spec("model", "v1", (0.1, 0.5, 0.9), FIELDS)


def test_the_id_shows_horizon_and_number_of_levels() -> None:
    assert SPEC.id(15).startswith("h15-q3-")
    assert horizon_of_spec(SPEC.id(15)) == 15


def test_the_order_of_fields_does_not_matter() -> None:
    turned = dict(reversed(FIELDS.items()))
    assert Spec("model", "v1", (0.1, 0.5, 0.9), turned).id(7) == SPEC.id(7)


@pytest.mark.parametrize(
    "changed",
    [
        Spec("model", "v2", (0.1, 0.5, 0.9), FIELDS),
        Spec("model", "v1", (0.1, 0.5, 0.8), FIELDS),
        Spec("model", "v1", (0.1, 0.5, 0.9), {**FIELDS, "digest": "abd"}),
        Spec("model", "v1", (0.1, 0.5, 0.9), {**FIELDS, "precision": "bfloat16"}),
    ],
)
def test_every_field_that_changes_the_numbers_changes_the_id(changed: Spec) -> None:
    assert changed.id(7) != SPEC.id(7)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ä", "-x"])
def test_a_name_that_is_not_a_segment_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a key"):
        Spec(name, "v1", (0.5,), {})


@pytest.mark.parametrize("text", ["h7-q9", "h7-q9-xyz", "_manifest.parquet", "7-q9-3fa9c2d1"])
def test_other_folders_are_not_specs(text: str) -> None:
    assert horizon_of_spec(text) is None


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_lists_of_etags_have_different_ids(first: list[str], second: list[str]) -> None:
    assert (digest_etags(first) == digest_etags(second)) == (first == second)


def test_a_digest_is_the_same_on_every_day_and_machine() -> None:
    assert digest_value({"b": [1, 2.5], "a": None}) == "e57f5d37865437a8"
    assert digest_etags(["a", "bc"]) == "5310a58788781ab2"


def test_an_id_is_the_same_on_every_day_and_machine() -> None:
    assert SPEC.id(15) == "h15-q3-5ae02375"
    assert SPEC.describe(15) == {
        "model": "model",
        "version": "v1",
        "levels": [0.1, 0.5, 0.9],
        "horizon": 15,
        "digest": "abc",
        "precision": "float32",
    }


def test_fields_of_long_horizons_describe_only_those_beyond_the_trained_steps() -> None:
    spec = Spec("m", "v", (0.5,), {}, {"long_horizon": "paths-1"}, trained_steps=64)
    assert ["long_horizon" in spec.describe(steps) for steps in (63, 64, 65)] == [
        False,
        False,
        True,
    ]
    assert spec.id(64) == Spec("m", "v", (0.5,), {}).id(64)


def test_a_name_that_is_a_segment_of_a_key_is_returned() -> None:
    assert check_segment("bolt-1.0_b", "model name") == "bolt-1.0_b"
    with pytest.raises(ConfigError, match=r"^model version 'a/b'"):
        Spec("m", "a/b", (0.5,), {})
