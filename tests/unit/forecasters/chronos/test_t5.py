"""The original Chronos: seeded draws, distributed as the stock pipeline's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper

from gigacast.forecasters.chronos.t5 import T5Model, _SeededChoice
from tests.support.tiny_models import session_folder, tiny_t5

SEEDS = np.array([11, 22, 33], np.uint64)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(session_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def pipeline(path: Path) -> BaseChronosPipeline:
    return BaseChronosPipeline.from_pretrained(path, dtype=torch.float32)


def context(rows: int = 3, length: int = 50) -> torch.Tensor:
    return torch.randn(rows, length, generator=torch.Generator().manual_seed(3)).cumsum(dim=1)


def test_a_seed_decides_the_paths(pipeline: BaseChronosPipeline):
    model = T5Model(pipeline)
    first, again = (model.paths(context(), 4, SEEDS) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, model.paths(context(), 4, SEEDS + np.uint64(1)))


def test_equal_contexts_with_other_seeds_have_other_paths(pipeline: BaseChronosPipeline):
    paths = T5Model(pipeline).paths(context(1).expand(3, -1), 4, SEEDS)
    assert not torch.equal(paths[0], paths[1])


def test_a_shorter_horizon_is_the_start_of_a_longer_one(pipeline: BaseChronosPipeline):
    model = T5Model(pipeline)
    assert torch.equal(model.paths(context(), 20, SEEDS)[..., :4], model.paths(context(), 4, SEEDS))


def test_the_callers_random_generator_does_not_change(pipeline: BaseChronosPipeline):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    T5Model(pipeline).paths(context(), 2, SEEDS)
    assert torch.equal(torch.rand(3), expected)


def test_tokens_and_scale_are_those_of_the_stock_tokenizer(pipeline: BaseChronosPipeline):
    values = context()
    values[0, :20] = torch.nan
    values[2] = 0
    stock = pipeline.tokenizer.context_input_transform(values.clone())
    ours = T5Model(pipeline)._tokenize(values)
    assert torch.equal(ours[0], stock[0])
    assert torch.equal(ours[1], stock[1])
    assert torch.allclose(ours[2], stock[2])


def test_the_sample_paths_are_distributed_as_the_stock_ones(pipeline: BaseChronosPipeline):
    """Two-sample Kolmogorov-Smirnov at each step; 1.95 is the 0.1% point of its distribution."""
    model, values, count = T5Model(pipeline), context(1), 600
    model.samples = count
    ours = model.paths(values, 3, SEEDS[:1])[0].numpy()
    torch.manual_seed(0)
    stock = pipeline.predict(values, prediction_length=3, num_samples=count)[0].numpy()
    for step in range(3):
        grid = np.unique(np.concatenate([ours[:, step], stock[:, step]]))
        shares = [
            np.searchsorted(np.sort(paths[:, step]), grid, side="right") / count
            for paths in (ours, stock)
        ]
        assert np.abs(shares[0] - shares[1]).max() < 1.95 * np.sqrt(2 / count)


def test_sampled_tokens_follow_the_shaped_distribution():
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0, 3.0]])
    draws = 20_000
    uniforms = (torch.arange(draws, dtype=torch.float64) + 0.5).view(-1, 1) / draws
    warpers = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(3)])
    choice = _SeededChoice(uniforms, 1, warpers)
    picked = choice(torch.zeros(draws, 1, dtype=torch.long), scores.expand(draws, -1)).argmax(dim=1)
    share = torch.bincount(picked, minlength=5) / draws
    expected = torch.softmax(torch.tensor([-torch.inf, 1.0, 2.0, -torch.inf, 3.0]) / 0.7, dim=0)
    assert share.tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_an_impossible_token_is_never_sampled():
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf]] * 2)
    uniforms = torch.tensor([[0.0], [1 - 2.0**-53]], dtype=torch.float64)
    choice = _SeededChoice(uniforms, 1, LogitsProcessorList())
    assert choice(torch.zeros(2, 1, dtype=torch.long), scores).argmax(dim=1).tolist() == [1, 1]
