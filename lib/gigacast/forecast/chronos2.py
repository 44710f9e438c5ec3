"""Chronos-2 on single series: each its own group, so that nothing passes between them.

The stock network attends over the batch within groups. In a group of one that attention is the
value projection alone: scores, softmax and the [T, B, B] mask fall away, the numbers stay the same,
the cost no longer grows with the square of the batch, and no series can leak into another.

Source: Ansari et al., "Chronos-2: From Univariate to Universal Forecasting" (2025) and the
``chronos-forecasting`` package. May import torch and chronos.
"""

from math import ceil

import torch
from chronos import Chronos2Pipeline
from chronos.chronos2.layers import AttentionOutput, GroupSelfAttention
from chronos.chronos2.model import Chronos2Encoder
from chronos.utils import interpolate_quantiles
from torch import Tensor, nn

from gigacast.forecast.level import find_level
from gigacast.forecast.unrolling import reduce_paths

CARRIED_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The levels carried on beyond the longest single pass, as in the stock pipeline."""


class Chronos2Model:
    """The stock Chronos-2 network behind the calls that `ChronosForecaster` makes.

    Parameters
    ----------
    pipeline : Chronos2Pipeline
        Loaded and on its device; its encoder is replaced by one for single series.
    """

    centres = True
    samples = 0

    def __init__(self, pipeline: Chronos2Pipeline) -> None:
        self._model = pipeline.model
        self._model.encoder = _LoneEncoder(self._model.encoder)
        config = self._model.chronos_config
        self.levels = tuple(float(level) for level in config.quantiles)
        self.context_length = int(config.context_length)
        self.patch_size = int(config.input_patch_size)
        self._most_patches = int(config.max_output_patches)
        self.prediction_length = self._most_patches * self.patch_size
        known = (level for level in CARRIED_LEVELS if find_level(level, self.levels) is not None)
        self._carried = tuple(known) or self.levels

    def quantiles(self, context: Tensor, horizon: int) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN where nothing was observed.
        horizon : int
            H; beyond the longest single pass nine quantiles are carried on and reduced again.
        """
        prediction = self._pass(context, horizon)
        parts, done = [prediction], prediction.shape[-1]
        paths = context.unsqueeze(1).expand(-1, len(self._carried), -1)
        while done < horizon:
            paths = torch.cat([paths, self._carry(prediction)], dim=-1)[..., -self.context_length :]
            raw = self._pass(paths.flatten(0, 1), horizon - done)
            prediction = reduce_paths(
                raw.view(len(context), -1, raw.shape[-1]), self._carried, self.levels, weighted=True
            )
            parts.append(prediction)
            done += prediction.shape[-1]
        return torch.cat(parts, dim=-1)[..., :horizon]

    def _pass(self, context: Tensor, horizon: int) -> Tensor:
        patches = min(ceil(horizon / self.patch_size), self._most_patches)
        quantiles: Tensor = self._model(context=context, num_output_patches=patches).quantile_preds
        return quantiles

    def _carry(self, prediction: Tensor) -> Tensor:
        """Return the carried levels, [B, U, P], of a prediction, [B, K, P]."""
        carried: Tensor = interpolate_quantiles(
            query_quantile_levels=torch.tensor(self._carried),
            original_quantile_levels=torch.tensor(self.levels),
            original_values=prediction.transpose(1, 2),
        )
        return carried.transpose(1, 2)


class _LoneEncoder(Chronos2Encoder):  # type: ignore[misc]
    """The stock encoder with every series in a group of its own."""

    def __init__(self, stock: Chronos2Encoder) -> None:
        nn.Module.__init__(self)
        self.block = stock.block
        self.final_layer_norm = stock.final_layer_norm
        self.dropout = stock.dropout
        for block in self.block:
            block.layer[1] = _LoneAttention(block.layer[1])
        self.eval()

    @staticmethod
    def _construct_and_invert_group_time_mask(
        group_ids: Tensor,
        attention_mask: Tensor,
        floating_type: torch.dtype,
    ) -> Tensor:
        """Return no mask at all: `_LoneAttention` needs none, and [T, B, B] is large."""
        return attention_mask.new_empty(0)


class _LoneAttention(nn.Module):
    """Group attention in a group of one: the softmax over one score is one."""

    def __init__(self, stock: GroupSelfAttention) -> None:
        super().__init__()
        self.self_attention = stock.self_attention
        self.layer_norm = stock.layer_norm

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor, output_attentions: bool = False
    ) -> AttentionOutput:
        del attention_mask, output_attentions
        value = self.self_attention.v(self.layer_norm(hidden_states))
        return AttentionOutput(hidden_states=hidden_states + self.self_attention.o(value))
