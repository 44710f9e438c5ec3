"""Chronos-2 on single series and on groups of series.

The stock network attends over the whole batch and separates groups by a mask of [T, B, B]. Here all
groups of a batch have the same size and are adjacent, so that each attends to itself only. The
numbers are the same, the cost does not grow with the square of the batch, and no information can
pass from one group to another. In a group of one the attention is the value projection alone.

Source: Ansari et al., "Chronos-2: From Univariate to Universal Forecasting" (2025) and the
``chronos-forecasting`` package.
"""

import torch
from chronos import Chronos2Pipeline
from chronos.chronos2.layers import AttentionOutput, GroupSelfAttention
from chronos.chronos2.model import Chronos2Encoder
from torch import Tensor, nn

from gigacast.forecasters.network.groups import GroupUnrolling, swap


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
        self._unrolling = GroupUnrolling(
            self.levels, self.context_length, self.patch_size, int(config.max_output_patches)
        )
        self.prediction_length = self._unrolling.prediction_length

    def quantiles(
        self, context: Tensor, horizon: int, group_size: int = 1, future: Tensor | None = None
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H; see `GroupUnrolling`.
        group_size : int
            Number of adjacent rows per group, G.
        future : Tensor, optional
            Float32, [B, H], NaN for unknown values.
        """
        return self._unrolling.forecast(context, horizon, self._pass, group_size, future)

    def _pass(
        self, context: Tensor, patches: int, group_size: int, future: Tensor | None
    ) -> Tensor:
        """Return the quantiles of one pass, [B, K, F * P]."""
        # On the host for every device: the encoder reads the group's size from it, and reading it
        # from a GPU would wait for all work before.
        groups = torch.arange(len(context)) // group_size
        output = self._model(
            context=context,
            num_output_patches=patches,
            group_ids=groups,
            future_covariates=future,
        )
        quantiles: Tensor = output.quantile_preds
        return quantiles


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
        visible = swap(attention_mask, size)
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
        by_step = swap(normed, size)
        mixed = self.self_attention(by_step, mask=attention_mask.expand(-1, -1, size, -1))[0]
        by_row = swap(mixed, steps)
        return AttentionOutput(hidden_states=hidden_states + by_row)
