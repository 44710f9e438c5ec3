"""Chronos-2 on series alone, and on groups of them: nothing passes from one group to another.

The stock network attends over the batch within groups, by a mask of [T, B, B]. Here groups are
equally large and follow each other, and each attends to itself: the numbers stay the same, the cost
does not grow with the square of the batch, and nothing can leak. In a group of one the attention is
the value projection alone.

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
"""The levels carried on beyond the longest single pass, as in the stock pipeline."""


class Chronos2Model:
    """The stock Chronos-2 network behind the calls that `ChronosForecaster` makes.

    Parameters
    ----------
    pipeline : Chronos2Pipeline
        Loaded and on its device; its encoder is replaced by one for groups in order.
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
        self._most_patches = int(config.max_output_patches)
        self.prediction_length = self._most_patches * self.patch_size
        known = (level for level in CARRIED_LEVELS if find_level(level, self.levels) is not None)
        self._carried = tuple(known) or self.levels

    def quantiles(
        self, context: Tensor, horizon: int, group_size: int = 1, future: Tensor | None = None
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN where nothing was observed.
        horizon : int
            H; beyond the longest single pass nine quantiles are carried on and reduced again.
        group_size : int
            G: so many rows each, one after the other, are a group.
        future : Tensor, optional
            Float32, [B, H], NaN where nothing is known.
        """
        prediction = self._pass(context, horizon, group_size, future)
        parts, done = [prediction], prediction.shape[-1]
        paths = context.unsqueeze(1).expand(-1, len(self._carried), -1)
        while done < horizon:
            step = prediction.shape[-1]
            paths = torch.cat([paths, self._carry(prediction)], dim=-1)
            if future is not None:  # what is known takes the place of what was forecast
                known = future[:, done - step : done].unsqueeze(1)
                paths[..., -step:] = torch.where(known.isnan(), paths[..., -step:], known)
            paths = paths[..., -self.context_length :]
            raw = self._carry_on(paths, horizon - done, group_size, future, done)
            prediction = reduce_paths(raw, self._carried, self.levels, weighted=True)
            parts.append(prediction)
            done += prediction.shape[-1]
        return torch.cat(parts, dim=-1)[..., :horizon]

    def _carry_on(
        self, paths: Tensor, horizon: int, group_size: int, future: Tensor | None, done: int
    ) -> Tensor:
        """Return the quantiles of paths, [B, U, T], as [B, U * K, P].

        A path of a row meets the same paths of the other rows of its group: those are brought
        together.
        """
        carried = paths.shape[1]

        def together(values: Tensor) -> Tensor:
            grouped = values.reshape(-1, group_size, *values.shape[1:])
            return grouped.transpose(1, 2).flatten(0, 2)

        known = None
        if future is not None:
            known = together(future[:, done:].unsqueeze(1).expand(-1, carried, -1))
        raw = self._pass(together(paths), horizon, group_size, known)
        apart = raw.reshape(-1, carried, group_size, *raw.shape[1:]).transpose(1, 2)
        return apart.reshape(len(paths), -1, raw.shape[-1])

    def _pass(
        self, context: Tensor, horizon: int, group_size: int, future: Tensor | None
    ) -> Tensor:
        patches = min(ceil(horizon / self.patch_size), self._most_patches)
        # On the host, whatever the device: the encoder reads it, and must wait for nothing.
        groups = torch.arange(len(context)) // group_size
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
        """Return the carried levels, [B, U, P], of a prediction, [B, K, P]."""
        carried: Tensor = interpolate_quantiles(
            query_quantile_levels=torch.tensor(self._carried),
            original_quantile_levels=torch.tensor(self.levels),
            original_values=prediction.transpose(1, 2),
        )
        return carried.transpose(1, 2)


class _GroupEncoder(Chronos2Encoder):  # type: ignore[misc]
    """The stock encoder for groups of equally many rows that follow each other."""

    def __init__(self, stock: Chronos2Encoder) -> None:
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
        """Return what is added to the scores of each group and step, [N * T, 1, 1, G].

        Rows without a value in a patch are not attended to. Of groups of one nothing is needed.
        """
        size = int((group_ids == group_ids[0]).sum())
        if size == 1:
            return attention_mask.new_empty(0)
        seen = _swap(attention_mask, size)
        hidden = (1.0 - seen.to(floating_type)) * torch.finfo(floating_type).min
        return hidden[:, None, None, :]


class _GroupAttention(nn.Module):
    """Attention over the rows of a group, at each step; the stock weights."""

    def __init__(self, stock: GroupSelfAttention) -> None:
        super().__init__()
        self.self_attention = stock.self_attention
        self.layer_norm = stock.layer_norm

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor, output_attentions: bool = False
    ) -> AttentionOutput:
        del output_attentions
        normed = self.layer_norm(hidden_states)
        if attention_mask.numel() == 0:  # alone: the softmax over one score is one
            value = self.self_attention.v(normed)
            return AttentionOutput(hidden_states=hidden_states + self.self_attention.o(value))
        size, steps = attention_mask.shape[-1], hidden_states.shape[1]
        rows = _swap(normed, size)
        mixed = self.self_attention(rows, mask=attention_mask.expand(-1, -1, size, -1))[0]
        back = _swap(mixed, steps)
        return AttentionOutput(hidden_states=hidden_states + back)


def _swap(values: Tensor, size: int) -> Tensor:
    """Return rows of steps, [N * size, T, ...], as steps of rows, [N * T, size, ...]; or back."""
    return values.reshape(-1, size, *values.shape[1:]).transpose(1, 2).flatten(0, 1)
