"""Settings of a pretraining run: immutable, validated, and with a digest."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import decode_yaml
from gigacast.errors import ConfigError
from gigacast.synthetic import Mixture

EXTENDABLE = {"steps", "decay_steps", "validate_every", "checkpoint_every", "log_every"}
"""Settings that may change when a run is resumed: its length, and how often it reports."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelShape(_Frozen):
    """Size of a Chronos-Bolt model; field names as in the published configurations."""

    d_model: int = Field(128, gt=0)
    d_ff: int = Field(512, gt=0)
    d_kv: int = Field(32, gt=0)
    num_heads: int = Field(4, gt=0)
    num_layers: int = Field(4, gt=0)
    num_decoder_layers: int = Field(2, gt=0)
    relative_attention_num_buckets: int = Field(128, gt=0)
    relative_attention_max_distance: int = Field(256, gt=0)
    initializer_factor: float = Field(0.05, gt=0)
    context_length: int = Field(512, gt=0)
    patch_size: int = Field(16, gt=0)
    prediction_length: int = Field(64, gt=0)
    quantiles: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class MixtureSettings(_Frozen):
    """Composition of the synthetic corpus; see `gigacast.synthetic.Mixture`."""

    shares: dict[str, float] = Field(default_factory=lambda: dict(Mixture().shares))
    superpose: float = Mixture.superpose
    noisy: float = Mixture.noisy
    outliers: float = Mixture.outliers
    missing: float = Mixture.missing
    shortened: float = Mixture.shortened
    rounded: float = Mixture.rounded
    mirrored: float = Mixture.mirrored

    def to_mixture(self) -> Mixture:
        """Return the settings as the generator takes them."""
        return Mixture(**self.model_dump())


class ScaledSettings(_Frozen):
    """Batches whose series are generated at the length of the context, not cut from longer ones.

    What happens once in a series of 576 points, a trend say, is hardly seen in its last 48. Short
    contexts of real data are whole series, with their whole trend.

    Parameters
    ----------
    share : float
        Share of the batches; 0 by default.
    context_lengths : dict of int to float
        Points of the contexts and their weights. The horizon is generated with them.
    mixture : MixtureSettings
    """

    share: float = Field(0.0, ge=0, le=1)
    context_lengths: dict[int, float] = {32: 0.25, 48: 0.25, 80: 0.25, 128: 0.25}
    mixture: MixtureSettings = MixtureSettings()


class InitialSettings(_Frozen):
    """Weights that a run starts from, instead of random ones.

    Parameters
    ----------
    folder : Path
        Folder with ``model.safetensors`` of a model of the same shape.
    sha256 : str
        Digest of that file, checked before it is read.
    """

    folder: Path
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class PretrainConfig(_Frozen):
    """Settings of a pretraining run, which determine its weights.

    The learning rate warms up, stays constant, and falls to zero along a cosine over the last
    ``decay_steps``. Before the decay a run can be prolonged: raise ``steps`` and resume.
    """

    name: str = "gigacast-bolt-nano"
    seed: int = Field(20260, ge=0)
    model: ModelShape = ModelShape()
    mixture: MixtureSettings = MixtureSettings()
    steps: int = Field(20_000, gt=0)
    decay_steps: int = Field(6_000, ge=0)
    warmup_steps: int = Field(300, ge=0)
    batch_size: int = Field(256, gt=0)
    context_lengths: dict[int, float] = {512: 0.6, 256: 0.25, 128: 0.15}
    scaled: ScaledSettings = ScaledSettings()
    initial: InitialSettings | None = None
    matrix_learning_rate: float = Field(0.003, gt=0)
    other_learning_rate: float = Field(0.002, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    target_bound: float = Field(12.0, gt=0)
    precision: str = Field("bfloat16", pattern="^(float32|bfloat16)$")
    held_out_seed: int = Field(990_001, ge=0)
    held_out_series: int = Field(2048, gt=0)
    validate_every: int = Field(1000, gt=0)
    checkpoint_every: int = Field(500, gt=0)
    log_every: int = Field(50, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "PretrainConfig":
        model = self.model
        # The same seed gives the same series: validation would be on the training data.
        if self.held_out_seed == self.seed:
            raise ValueError("held_out_seed must differ from seed")
        scaled = self.scaled.context_lengths if self.scaled.share else ()
        for length in (*self.context_lengths, *scaled):
            if length % model.patch_size or not 0 < length <= model.context_length:
                raise ValueError(
                    f"context_lengths: {length} is no multiple of {model.patch_size} "
                    f"up to {model.context_length}"
                )
        return self

    def digest(self) -> str:
        """Return the digest of every setting."""
        return digest_value(self._content())

    def resume_digest(self) -> str:
        """Return the digest of the settings that a resumed run must share with its checkpoint."""
        return digest_value(
            {name: field for name, field in self._content().items() if name not in EXTENDABLE}
        )

    def _content(self) -> dict[str, object]:
        """Return the settings by name, without later ones that are at their defaults.

        Digests of runs from before these settings existed stay what they were. Where the initial
        weights lie does not change a run, but what they are does.
        """
        content: dict[str, object] = self.model_dump(mode="json")
        mixture = self.mixture.model_dump(mode="json")
        if self.mixture.mirrored == Mixture.mirrored:
            del mixture["mirrored"]
        content["mixture"] = mixture
        if self.scaled == ScaledSettings():
            del content["scaled"]
        content["initial"] = self.initial and self.initial.sha256
        if self.initial is None:
            del content["initial"]
        return content


def load_config(path: Path) -> PretrainConfig:
    """Read the settings from a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read or a field is unknown or invalid; the message names it.
    """
    try:
        content = decode_yaml(path.read_bytes(), Source(str(path), ConfigError)) or {}
        return PretrainConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"cannot read the pretraining settings {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"{path}: {f'{field}: ' if field else ''}{first['msg']}",
            hint="config/pretrain-nano.yaml is an example of pretraining settings",
        ) from error
