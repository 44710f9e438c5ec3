"""Chronos-Bolt: quantiles in one pass, long horizons by unrolling every quantile.

Source: Ansari et al., "Chronos: Learning the Language of Time Series" (TMLR 2024) and the
``chronos-forecasting`` package. May import torch and chronos.
"""

import torch
from chronos import ChronosBoltPipeline
from torch import Tensor

from gigacast.forecast.unrolling import is_even, reduce_paths


class BoltModel:
    """The stock Bolt network behind the calls that `ChronosForecaster` makes.

    Parameters
    ----------
    pipeline : ChronosBoltPipeline
        Loaded and on its device.
    """

    centres = True
    samples = 0

    def __init__(self, pipeline: ChronosBoltPipeline) -> None:
        self._model = pipeline.model
        config = self._model.chronos_config
        self.levels = tuple(float(level) for level in config.quantiles)
        self.context_length = int(config.context_length)
        self.prediction_length = int(config.prediction_length)
        self.patch_size = int(config.input_patch_size)

    def quantiles(self, context: Tensor, horizon: int) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN where nothing was observed.
        horizon : int
            H; beyond the trained horizon each of the K quantiles becomes the context of K more,
            and the K * K paths are reduced to K again.
        """
        prediction = self._model(context=context).quantile_preds
        parts = [prediction]
        paths = context.unsqueeze(1).expand(-1, len(self.levels), -1)
        for _ in range(self.prediction_length, horizon, self.prediction_length):
            paths = torch.cat([paths, prediction], dim=-1)[..., -self.context_length :]
            raw = self._model(context=paths.flatten(0, 1)).quantile_preds
            prediction = reduce_paths(
                raw.view(len(context), -1, self.prediction_length),
                self.levels,
                self.levels,
                weighted=not is_even(self.levels),
            )
            parts.append(prediction)
        return torch.cat(parts, dim=-1)[..., :horizon]
