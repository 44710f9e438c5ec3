"""No error of a library leaves the options of training, whatever they are given."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gigacast
from gigacast.errors import ConfigError
from gigacast.series.frame import table_of
from gigacast.settings.options import ARGUMENTS
from gigacast.training.api import finetune_job
from gigacast.training.data import TableData
from gigacast.training.job import FinetuneJob
from tests.support.hostile import FRAME, VALUES, raw_errors

OWN = sorted(set(gigacast.TrainOptions.__annotations__) - set(ARGUMENTS))
COUNTS = ("steps", "patience", "history", "threads", "lora_rank", "checkpoint_every")


def job_with(**options: Any) -> FinetuneJob:
    return finetune_job({"bucket": "memory://x", **options}, TableData(table_of(FRAME)))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("option", sorted(gigacast.TrainOptions.__annotations__))
def test_options_of_training_of_any_kind_raise_only_errors_of_gigacast(option: str) -> None:
    assert raw_errors(lambda value: job_with(**{option: value})) == {}


@contextmanager
def suppress_named(option: str) -> Iterator[None]:
    """Let a refusal pass if it begins with the option."""
    refusals = []
    try:
        yield
    except ConfigError as error:
        refusals.append(error.message)
    assert all(message.startswith(option) for message in refusals), refusals


@pytest.mark.parametrize("option", OWN)
def test_a_refused_option_of_training_is_named(option: str) -> None:
    for value in VALUES.values():
        with suppress_named(option):
            job_with(**{option: value})


@pytest.mark.parametrize("option", COUNTS)
@pytest.mark.parametrize("value", [1.5, True, "many", 2**63, np.float64("nan")])
def test_a_count_that_is_none_starts_no_training(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: "):
        job_with(**{option: value})


def test_numbers_of_numpy_become_those_of_python() -> None:
    job = job_with(steps=np.int64(3), learning_rate=np.float32(0.5), switch=np.bool_(True))
    assert (
        json.dumps([job.options.steps, job.options.learning_rate, job.switch]) == "[3, 0.5, true]"
    )


def test_the_door_of_training_names_an_option_before_it_reads_the_model() -> None:
    trainer = gigacast.ChronosTrainer(model="no-such-model")
    trainer.load_training_data(FRAME)
    with pytest.raises(ConfigError, match=r"^steps: expected a whole number, got 'many'"):
        trainer.train(steps="many")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^patience: expected a whole number, got nan"):
        gigacast.finetune(FRAME, model="no-such-model", patience=float("nan"))  # type: ignore[arg-type]
