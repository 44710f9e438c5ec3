"""Chronos-Bolt: quantiles in one pass; every quantile is continued beyond the trained horizon.

Source: Ansari et al., "Chronos: Learning the Language of Time Series" (TMLR 2024) and the
``chronos-forecasting`` package.
"""

from chronos import ChronosBoltPipeline
from torch import Tensor

from gigacast.forecasters.network.unrolling import Unrolling


class BoltModel:
    """The stock Bolt network with the interface that `ChronosForecaster` uses.

    Parameters
    ----------
    pipeline : ChronosBoltPipeline
        Loaded pipeline, on its device.
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
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H; see `Unrolling` for horizons beyond the trained one.
        """
        unrolling = Unrolling(self.levels, self.context_length, self.prediction_length)
        return unrolling.forecast(
            context, horizon, lambda paths: self._model(context=paths).quantile_preds
        )
