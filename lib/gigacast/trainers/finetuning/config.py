"""Options of a fine-tuning run and their resolution for a model."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from math import isfinite
from typing import Any, Literal, Protocol

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError, MissingExtraError, ModelError
from gigacast.forecasters.forecaster import ForecasterInfo

Tuning = Literal["full", "lora"]
BOLT, CHRONOS2 = "ChronosBoltPipeline", "Chronos2Pipeline"
LEARNING_RATES = {(BOLT, "full"): 1e-4, (CHRONOS2, "full"): 1e-6, (CHRONOS2, "lora"): 1e-5}
"""Default learning rates; those of Chronos-2 are the recommendations of its authors."""

PANEL_SERIES = 256
"""Series of a panel that is trained on at the full default learning rate."""
MOST = 2**63
"""End of the counts: files and arrays hold 64 bits."""
_EXTENDABLE = ("checkpoint_every", "device")
"""Settings that may change between a checkpoint and its resumption: they do not change weights."""


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of a fine-tuning run; ``None`` uses the default of the model.

    ``help(gigacast.finetune)`` describes each one.
    """

    method: Tuning = "full"
    horizon: int | None = None
    context_length: int | None = None
    validation_steps: int | None = None
    min_context: int = 16
    steps: int = 1000
    batch_size: int = 64
    warmup_steps: int = 50
    learning_rate: float | None = None
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    validate_every: int = 100
    patience: int = 5
    validation_windows: int = 2048
    checkpoint_every: int = 100
    lora_rank: int = 8
    lora_alpha: int = 16
    seed: int = 0
    hold_out: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("full", "lora"):
            raise ConfigError(f"method: {self.method!r} is not one of full, lora")
        for name, value in asdict(self).items():
            if value is None or name == "method":
                continue
            if isinstance(value, int) and value >= MOST:
                raise ConfigError(f"{name}: a number of {value.bit_length()} bits is too large")
            minimum = 0 if name in ("warmup_steps", "weight_decay", "seed", "hold_out") else 1
            if name in ("learning_rate", "gradient_clip"):
                if not (isfinite(value) and value > 0):
                    raise ConfigError(f"{name}: {value} is not above 0")
            elif not isfinite(value) or value < minimum:
                raise ConfigError(f"{name}: {value} is less than {minimum}")


@dataclass(frozen=True)
class FinetuneConfig:
    """Resolved options; with the parent and the data they determine the trained weights.

    Parameters
    ----------
    family : str
        ``ChronosBoltPipeline`` or ``Chronos2Pipeline``.
    patch_size, prediction_length : int
        Patch size and trained horizon of the model.
    device, precision : str
        Resolved device and precision; with ``bfloat16`` the weights stay float32.
    options : FinetuneOptions
        Options as requested.
    horizon, context_length, validation_steps : int
        Resolved options; ``horizon`` is at most ``prediction_length``.
    learning_rate : float
        Resolved option.
    """

    family: str
    patch_size: int
    prediction_length: int
    device: str
    precision: str
    options: FinetuneOptions
    horizon: int
    context_length: int
    validation_steps: int
    learning_rate: float

    @property
    def least_length(self) -> int:
        """Minimum steps of a series: a context, one step of a target, and the held-out steps."""
        return self.options.min_context + 1 + self.validation_steps

    def describe(self) -> dict[str, Any]:
        """Return the configuration as plain values, for records; resolved ones replace options."""
        resolved = {k: v for k, v in asdict(self).items() if k != "options"}
        described = {**asdict(self.options), **resolved}
        # Only where it changes weights: runs that began without it resume their checkpoints.
        if not self.options.hold_out:
            del described["hold_out"]
        return described

    def for_panel(self, series: int) -> "FinetuneConfig":
        """Return the configuration for a number of series.

        A few series are learnt by heart in a few steps: unless it is named, the learning rate
        falls with the root of their number below `PANEL_SERIES`.
        """
        if self.options.learning_rate is not None or series >= PANEL_SERIES:
            return self
        return replace(self, learning_rate=self.learning_rate * (series / PANEL_SERIES) ** 0.5)

    def resume_digest(self) -> str:
        """Return the digest of the settings that a resumed run must share with its checkpoint."""
        fixed = {k: v for k, v in self.describe().items() if k not in _EXTENDABLE}
        return digest_value(fixed)


def resolve_config(
    options: FinetuneOptions, family: str, info: ForecasterInfo, *, device: str = "auto"
) -> FinetuneConfig:
    """Resolve the options of a run for a model.

    Parameters
    ----------
    options : FinetuneOptions
    family : str
        Pipeline class in the configuration of the model.
    info : ForecasterInfo
        Info of the parent.
    device : str
        Device, such as ``cuda:1``; ``auto`` is the first of the parent's kind.

    Raises
    ------
    ModelError
        If models of this family cannot be fine-tuned by this method.
    ConfigError
        If the horizon or the context is longer than the model's.
    MissingExtraError
        If LoRA is requested and peft is not installed.
    """
    _check_method(options.method, family, info.name)
    # 64 is the horizon of the published Bolts. The longest pass of a Chronos-2 is longer than most
    # series to train on.
    horizon = options.horizon or min(info.prediction_length, 64)
    context = options.context_length or info.context_length
    _check_within("horizon", horizon, info.prediction_length, info.name)
    _check_within("context_length", context, info.context_length, info.name)
    rate = options.learning_rate or LEARNING_RATES[family, options.method]
    return FinetuneConfig(
        family=family,
        patch_size=info.patch_size,
        prediction_length=info.prediction_length,
        device=info.device if device == "auto" else device,
        precision=info.precision,
        options=options,
        horizon=horizon,
        context_length=context,
        validation_steps=options.validation_steps or horizon,
        learning_rate=rate,
    )


def _check_method(method: Tuning, family: str, model: str) -> None:
    if family not in (BOLT, CHRONOS2):
        raise ModelError(
            f"{model} is a {family}: only Chronos-Bolt and Chronos-2 can be fine-tuned",
            hint="choose another --model",
        )
    if (family, method) not in LEARNING_RATES:
        raise ModelError(
            f"{model} is a Chronos-Bolt: LoRA is for Chronos-2",
            hint="leave out --method lora: all weights of a Bolt are trained",
        )
    # Without peft chronos only warns and trains all weights instead.
    if method == "lora" and find_spec("peft") is None:
        raise MissingExtraError(
            "--method lora needs peft", hint="install it: pip install 'gigacast[train]'"
        )


def _check_within(field_name: str, requested: int, limit: int, model: str) -> None:
    if requested > limit:
        raise ConfigError(
            f"{field_name}: {requested} steps are more than the {limit} of {model}",
            hint=f"give --{field_name} {limit} or less, or start from another --model",
        )


class TrainingEvents(Protocol):
    """Events of a training run."""

    def prepared(self, series: int, points: int) -> None:
        """Handle the size of the corpus: its number of series and of steps."""

    def started(self, step: int, steps: int) -> None:
        """Handle the start of training at a step (above 0 if resumed), of ``steps`` in all."""

    def stepped(self, step: int, loss: float) -> None:
        """Handle the loss of a step."""

    def validated(self, step: int, loss: float) -> None:
        """Handle the loss on the held-out windows."""


class Silent:
    """`TrainingEvents` that are ignored."""

    def prepared(self, series: int, points: int) -> None:
        """Ignore the size of the corpus."""

    def started(self, step: int, steps: int) -> None:
        """Ignore the start."""

    def stepped(self, step: int, loss: float) -> None:
        """Ignore a step."""

    def validated(self, step: int, loss: float) -> None:
        """Ignore a validation."""


@dataclass(frozen=True)
class Origin:
    """Digests of the parent and the data of a run; a checkpoint belongs to both.

    Parameters
    ----------
    parent : str
        Digest of the parent model.
    data : str
        Digest of the data's keys and ETags, and of the options by which they are read.
    """

    parent: str
    data: str


@dataclass(frozen=True)
class Limits:
    """Time limit, clock and events of one call, which may end before its run does.

    Parameters
    ----------
    clock : callable
        Monotonic clock, in seconds.
    deadline_s : float
        Time on the clock at which the call stops; never by default.
    events : TrainingEvents
        Receiver of events; ignored by default.
    """

    clock: Callable[[], float]
    deadline_s: float = float("inf")
    events: TrainingEvents = field(default_factory=Silent)

    def over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.clock() >= self.deadline_s


@dataclass(frozen=True)
class Finetuned:
    """Result of a fine-tuning run.

    Parameters
    ----------
    step : int
        Number of steps taken, over all resumptions.
    best_step : int
        Step of the selected weights; 0 are the parent's.
    finished : bool
        False if the time ran out first; the same call resumes the run.
    stopped_early : bool
        Whether validation stopped improving before the last step.
    before, after : float
        Loss on the held-out windows: of the parent, and of the selected weights.
    curve : tuple of dict
        For each validation: ``step``, ``loss`` (mean since the last one), ``validation_loss``.
    seconds : float
        Training time, over all resumptions.
    """

    step: int
    best_step: int
    finished: bool
    stopped_early: bool
    before: float
    after: float
    curve: tuple[dict[str, Any], ...]
    seconds: float
