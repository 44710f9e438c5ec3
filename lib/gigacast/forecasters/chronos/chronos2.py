"""Chronos-2 on single series and on groups of series.

The stock network attends over the whole batch and separates groups by a mask of [T, B, B]. Here all
groups of a batch have the same size and are adjacent, so that each attends to itself only. The
numbers are the same, the cost does not grow with the square of the batch, and no information can
pass from one group to another. In a group of one the attention is the value projection alone.

Source: Ansari et al., "Chronos-2: From Univariate to Universal Forecasting" (2025) and the
``chronos-forecasting`` package.
"""

from math import ceil, nan

import torch
from chronos import Chronos2Pipeline
from chronos.chronos2.layers import AttentionOutput, GroupSelfAttention
from chronos.chronos2.model import Chronos2Encoder
from chronos.utils import interpolate_quantiles
from torch import Tensor, nn
from torch.nn.functional import pad

from gigacast.forecasters.levels import find_level
from gigacast.forecasters.network.unrolling import reduce_paths

CARRIED_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Levels that are continued beyond the longest single pass; as in the stock pipeline."""


class Chronos2Model:
    """The stock Chronos-2 network with the interface that `ChronosForecaster` uses.

    Parameters
    ----------
    pipeline : Chronos2Pipeline
        Loaded pipeline, on its device; its encoder is replaced by one for adjacent groups.
    """

    centres = True
    samples = 0

    def __init__(self, pipeline: Chronos2Pipeline) -> None:
        self._model = pipeline.model
        self._model.encoder = _GroupEncoder(self._model.encoder)
        config = self._model.chronos_config
        self.levels = tuple(float(level) for level in config.quantiles)
        self.context_length = int(config.context_length)
        self.patch_size = int(config.input_patch_size)
        self._max_patches = int(config.max_output_patches)
        self.prediction_length = self._max_patches * self.patch_size
        trained = (level for level in CARRIED_LEVELS if find_level(level, self.levels) is not None)
        # A model that is trained for none of these levels continues its own.
        self._carried = tuple(trained) or self.levels

    def quantiles(
        self, context: Tensor, horizon: int, group_size: int = 1, future: Tensor | None = None
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H; beyond the longest single pass, nine quantiles are continued as
            paths and reduced to quantiles again.
        group_size : int
            Number of adjacent rows per group, G.
        future : Tensor, optional
            Float32, [B, H], NaN for unknown values.
        """
        prediction = self._pass(context, horizon, group_size, future)
        parts, steps = [prediction], prediction.shape[-1]
        paths = context.unsqueeze(1).expand(-1, len(self._carried), -1)
        while steps < horizon:
            width = prediction.shape[-1]
            paths = torch.cat([paths, self._carry(prediction)], dim=-1)
            # Rows of known covariates continue with their known values, not with their forecasts.
            if future is not None:
                ahead = future[:, steps - width : steps].unsqueeze(1)
                paths[..., -width:] = torch.where(ahead.isnan(), paths[..., -width:], ahead)
            paths = paths[..., -self.context_length :]
            remaining = None if future is None else future[:, steps:]
            raw = self._continue(paths, horizon - steps, group_size, remaining)
            prediction = reduce_paths(raw, self._carried, self.levels, weighted=True)
            parts.append(prediction)
            steps += prediction.shape[-1]
        return torch.cat(parts, dim=-1)[..., :horizon]

    def _continue(
        self, paths: Tensor, horizon: int, group_size: int, future: Tensor | None
    ) -> Tensor:
        """Return the quantiles of paths, [B, U, T], as [B, U * K, P].

        Path u of a row attends to path u of the other rows of its group. So rows are reordered
        from (group, row, path) to (group, path, row) and back.
        """
        carried = paths.shape[1]

        def by_path(values: Tensor) -> Tensor:
            grouped = values.reshape(-1, group_size, *values.shape[1:])
            return grouped.transpose(1, 2).flatten(0, 2)

        ahead = None
        if future is not None:
            ahead = by_path(future.unsqueeze(1).expand(-1, carried, -1))
        # The u-th paths of the rows of a group form a group, so that the paths of one row
        # do not attend to each other.
        raw = self._pass(by_path(paths), horizon, group_size, ahead)
        by_row = raw.reshape(-1, carried, group_size, *raw.shape[1:]).transpose(1, 2)
        return by_row.reshape(len(paths), -1, raw.shape[-1])

    def _pass(
        self, context: Tensor, horizon: int, group_size: int, future: Tensor | None
    ) -> Tensor:
        """Return the quantiles of one pass, [B, K, P]; P covers the horizon or is the maximum."""
        patches = min(ceil(horizon / self.patch_size), self._max_patches)
        # On the host for every device: the encoder reads the group's size from it, and reading it
        # from a GPU would wait for all work before.
        groups = torch.arange(len(context)) // group_size
        # The network takes whole patches; steps beyond the horizon are unknown.
        if future is not None:
            future = pad(
                future[:, : patches * self.patch_size],
                (0, max(0, patches * self.patch_size - future.shape[1])),
                value=nan,
            )
        output = self._model(
            context=context,
            num_output_patches=patches,
            group_ids=groups,
            future_covariates=future,
        )
        quantiles: Tensor = output.quantile_preds
        return quantiles

    def _carry(self, prediction: Tensor) -> Tensor:
        """Return the quantiles to continue, [B, U, P], of a prediction, [B, K, P]."""
        carried: Tensor = interpolate_quantiles(
            query_quantile_levels=torch.tensor(self._carried),
            original_quantile_levels=torch.tensor(self.levels),
            original_values=prediction.transpose(1, 2),
        )
        return carried.transpose(1, 2)


class _GroupEncoder(Chronos2Encoder):  # type: ignore[misc]
    """The stock encoder for adjacent groups of the same size."""

    def __init__(self, stock: Chronos2Encoder) -> None:
        # The stock constructor would create random layers; the loaded ones are used instead.
        nn.Module.__init__(self)
        self.block = stock.block
        self.final_layer_norm = stock.final_layer_norm
        self.dropout = stock.dropout
        for block in self.block:
            block.layer[1] = _GroupAttention(block.layer[1])
        self.eval()

    @staticmethod
    def _construct_and_invert_group_time_mask(
        group_ids: Tensor,
        attention_mask: Tensor,
        floating_type: torch.dtype,
    ) -> Tensor:
        """Return the mask that is added to the scores of each group and step, [N * T, 1, 1, G].

        Rows without a value in a patch are not attended to. Groups of one need no mask and get an
        empty one, which `_GroupAttention` recognises.
        """
        size = int((group_ids == group_ids[0]).sum())
        if size == 1:
            return attention_mask.new_empty(0)
        visible = _swap(attention_mask, size)
        mask = (1.0 - visible.to(floating_type)) * torch.finfo(floating_type).min
        return mask[:, None, None, :]


class _GroupAttention(nn.Module):
    """Attention over the rows of a group, at each step, with the stock weights."""

    def __init__(self, stock: GroupSelfAttention) -> None:
        super().__init__()
        self.self_attention = stock.self_attention
        self.layer_norm = stock.layer_norm

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor, output_attentions: bool = False
    ) -> AttentionOutput:
        del output_attentions
        normed = self.layer_norm(hidden_states)
        # A group of one: the softmax over a single score is one.
        if attention_mask.numel() == 0:
            value = self.self_attention.v(normed)
            return AttentionOutput(hidden_states=hidden_states + self.self_attention.o(value))
        size, steps = attention_mask.shape[-1], hidden_states.shape[1]
        by_step = _swap(normed, size)
        mixed = self.self_attention(by_step, mask=attention_mask.expand(-1, -1, size, -1))[0]
        by_row = _swap(mixed, steps)
        return AttentionOutput(hidden_states=hidden_states + by_row)


def _swap(values: Tensor, size: int) -> Tensor:
    """Return [N * size, T, ...] as [N * T, size, ...]; with ``size`` T, the reverse."""
    return values.reshape(-1, size, *values.shape[1:]).transpose(1, 2).flatten(0, 1)
