"""A settings file made from the table is one that the settings read."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import OPTIONS
from gigacast.settings.template import settings_text, value_text

FLAGGED = [option for option in OPTIONS if option.group]


def load(text: str, folder: Path) -> Settings:
    file = folder / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file=file)


def uncommented(text: str) -> str:
    """Return a template with every setting in force: its mark has no space after it."""
    return re.sub(r"^( *)#(?! )", r"\1", text, flags=re.MULTILINE)


def test_a_file_without_values_sets_nothing(tmp_path):
    assert load(settings_text({}), tmp_path) == load_settings()


def test_the_settings_in_comments_are_the_defaults(tmp_path):
    text = uncommented(settings_text({}))
    assert load(text, tmp_path) == load_settings()
    shown = {f"{section}.{key}" for section, keys in yaml.safe_load(text).items() for key in keys}
    assert {option.setting for option in FLAGGED if len(option.path) == 2} <= shown


def test_values_are_in_force_and_the_rest_is_not(tmp_path):
    values = {
        "run.bucket": "file:///data",
        "model.prediction_length": 7,
        "parquet_loader.schema.target_columns": ("a", "b"),
    }
    settings = load(settings_text(values, ["For the sales."]), tmp_path)
    assert (settings.run.bucket, settings.model.prediction_length) == ("file:///data", 7)
    assert settings.parquet_loader.columns.target_columns == ("a", "b")
    assert settings.forecast == load_settings().forecast


def test_an_unknown_setting_is_refused():
    with pytest.raises(KeyError, match=r"run\.buckets"):
        settings_text({"run.buckets": "x"})


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_texts_come_back_as_they_are(text):
    read = yaml.safe_load(settings_text({"run.prefix": text}))
    assert read["run"]["prefix"] == text
    assert yaml.safe_load(value_text(text)) == text


@given(st.text(min_size=1))
def test_no_sentence_of_the_head_becomes_a_setting(sentence):
    assert yaml.safe_load(settings_text({}, [f"Columns: {sentence}", sentence])) is None
