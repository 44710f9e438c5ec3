"""The original Chronos: a T5 language model over binned values, sampled with a seed per series.

Tokens are drawn through the inverse distribution function from uniform numbers that depend on the
series, the sample and the step only. So the paths of a series do not depend on its batch, as they
would with torch's generator. Source: Ansari et al., "Chronos: Learning the Language of Time Series"
(TMLR 2024) and the ``chronos-forecasting`` package.
"""

import torch
from chronos import ChronosPipeline, MeanScaleUniformBins
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from gigacast.core.array import UintArray
from gigacast.errors import ModelError
from gigacast.forecasters.seed import uniform


class T5Model:
    """The stock T5 network with the interface that `ChronosForecaster` uses.

    Parameters
    ----------
    pipeline : ChronosPipeline
        Loaded pipeline, on its device.

    Raises
    ------
    ModelError
        If the model's tokenizer is not the one of all published models.
    """

    centres = False
    patch_size = 1
    levels: tuple[float, ...] = ()

    def __init__(self, pipeline: ChronosPipeline) -> None:
        if not isinstance(pipeline.tokenizer, MeanScaleUniformBins):
            kind = type(pipeline.tokenizer).__name__
            raise ModelError(f"Chronos models with the tokenizer {kind} are not supported")
        self._model = pipeline.model.model
        self._tokenizer = pipeline.tokenizer
        self._config = pipeline.model.config
        self.context_length = int(self._config.context_length)
        self.prediction_length = int(self._config.prediction_length)
        self.samples = int(self._config.num_samples)

    def paths(self, context: Tensor, horizon: int, seeds: UintArray) -> Tensor:
        """Return sample paths, float32 [B, S, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H; beyond the trained horizon the context is continued with the
            median of the paths, as in the stock pipeline.
        seeds : uint64 [B]
            Seed of each series.
        """
        # The stock tokenizer's bin boundaries are on the CPU, and so is its arithmetic.
        device, context = context.device, context.cpu()
        parts: list[Tensor] = []
        for first in range(0, horizon, self.prediction_length):
            steps = min(horizon - first, self.prediction_length)
            tokens, mask, scale = self._tokenize(context[:, -self.context_length :])
            uniforms = self._uniforms(seeds, first, steps)
            drawn = self._generate(tokens.to(device), mask.to(device), uniforms.to(device))
            parts.append(self._tokenizer.output_transform(drawn.cpu(), scale))
            context = torch.cat([context, parts[-1].median(dim=1).values], dim=-1)
        return torch.cat(parts, dim=-1)

    def _tokenize(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens [B, T + 1], their mask and the scale [B], as the stock tokenizer does."""
        mask = ~context.isnan()
        # The mean in float64: in float32 its last bit would depend on the padding, and with it the
        # bin of some values.
        scale = context.double().abs().nanmean(dim=-1).float()
        scale = torch.where(scale > 0, scale, 1.0)
        bins = torch.bucketize(context / scale[:, None], self._tokenizer.boundaries, right=True)
        tokens = (bins + self._config.n_special_tokens).clamp(0, self._config.n_tokens - 1)
        tokens = torch.where(mask, tokens, self._config.pad_token_id)
        if self._config.use_eos_token and self._config.model_type == "seq2seq":
            end = torch.full((len(tokens), 1), self._config.eos_token_id)
            tokens = torch.cat([tokens, end], dim=1)
            mask = torch.cat([mask, torch.ones_like(end, dtype=torch.bool)], dim=1)
        return tokens, mask, scale

    def _uniforms(self, seeds: UintArray, first: int, steps: int) -> Tensor:
        """Return the draws from step ``first`` on, [B * S, steps].

        The stream is ordered by step, then by sample, so that a longer horizon only appends draws.
        """
        draws = uniform(seeds, first * self.samples, steps * self.samples)
        by_step = torch.from_numpy(draws).view(len(seeds), steps, self.samples)
        return by_step.transpose(1, 2).flatten(0, 1)

    def _generate(self, tokens: Tensor, mask: Tensor, uniforms: Tensor) -> Tensor:
        """Return drawn tokens, [B, S, steps]."""
        steps = uniforms.shape[1]
        prompt = 1 if self._config.model_type == "seq2seq" else tokens.shape[1]
        choice = _SeededChoice(uniforms, prompt, _warpers(self._config))
        devices = [tokens.device] if tokens.device.type == "cuda" else []
        # `generate` draws from torch's generator even though the choice is made here; the fork
        # keeps the caller's generator unchanged.
        with torch.random.fork_rng(devices):
            drawn = self._model.generate(
                input_ids=tokens,
                attention_mask=mask,
                generation_config=self._generation_config(steps),
                logits_processor=LogitsProcessorList([choice]),
            )
        return Tensor.view(drawn[:, -steps:], len(tokens), self.samples, steps)

    def _generation_config(self, steps: int) -> GenerationConfig:
        """Return settings for exactly ``steps`` tokens from the unchanged distribution.

        Temperature, top-k and top-p are neutral here, because `_SeededChoice` applies the model's
        own before it chooses.
        """
        return GenerationConfig(
            min_new_tokens=steps,
            max_new_tokens=steps,
            do_sample=True,
            num_return_sequences=self.samples,
            eos_token_id=self._config.eos_token_id,
            pad_token_id=self._config.pad_token_id,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
        )


class _SeededChoice(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token per row: where the distribution function exceeds a uniform number.

    Parameters
    ----------
    uniforms : Tensor
        Uniform numbers, float64, [B * S, steps].
    prompt : int
        Number of tokens before the first drawn one.
    warpers : LogitsProcessorList
        Changes to the distribution that are applied first.
    """

    def __init__(self, uniforms: Tensor, prompt: int, warpers: LogitsProcessorList) -> None:
        self._uniforms = uniforms
        self._prompt = prompt
        self._warpers = warpers

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self._prompt
        shaped = self._warpers(input_ids, scores)
        # In float64, where rounding rarely moves a uniform number across a token's boundary.
        distribution = torch.softmax(shaped.double(), dim=-1).cumsum(dim=-1)
        # Scaled by the last sum, which is not exactly one: a token always exists.
        threshold = self._uniforms[:, step, None] * distribution[:, -1:]
        token = (distribution <= threshold).sum(dim=-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


def _warpers(config: object) -> LogitsProcessorList:
    """Return the temperature, top-k and top-p of a model's configuration, in this order."""
    temperature, top_k, top_p = (getattr(config, key) for key in ("temperature", "top_k", "top_p"))
    warpers = LogitsProcessorList()
    if temperature is not None and temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(temperature))
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p is not None and top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers
