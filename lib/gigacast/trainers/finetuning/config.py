"""Options of a fine-tuning run, and the configuration they resolve to for one model."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from math import isfinite
from typing import Any, Literal, Protocol

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError, MissingExtraError, ModelError
from gigacast.forecasters.forecaster import ForecasterInfo

Tuning = Literal["full", "lora"]
BOLT, CHRONOS2 = "ChronosBoltPipeline", "Chronos2Pipeline"
LEARNING_RATES = {(BOLT, "full"): 1e-4, (CHRONOS2, "full"): 1e-6, (CHRONOS2, "lora"): 1e-5}
"""What is used when none is given; Chronos-2's are those its authors recommend."""

_EXTENDABLE = ("checkpoint_every", "device")


@dataclass(frozen=True)
class FinetuneOptions:
    """What is asked for; ``None`` leaves it to the model.

    Parameters
    ----------
    method : {"full", "lora"}
        All weights, or a LoRA adapter beside them (Chronos-2).
    horizon, context_length : int, optional
        Steps the loss looks ahead and back; the model's own when absent.
    validation_steps : int, optional
        The last steps of each series that are never trained on; one horizon when absent.
    min_context : int
        Values a training window has at least before its target.
    steps, batch_size, warmup_steps : int
    learning_rate : float, optional
    weight_decay, gradient_clip : float
    validate_every, patience : int
        Steps from one validation to the next; how many without a better one end the run.
    validation_windows : int
        At most so many windows are validated on, chosen evenly.
    checkpoint_every : int
    lora_rank, lora_alpha : int
    seed : int
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

    def __post_init__(self) -> None:
        if self.method not in ("full", "lora"):
            raise ConfigError(f"method: {self.method!r} is not one of full, lora")
        for name, value in asdict(self).items():
            if value is None or name == "method":
                continue
            least = 0 if name in ("warmup_steps", "weight_decay", "seed") else 1
            if name in ("learning_rate", "gradient_clip"):
                if not (isfinite(value) and value > 0):
                    raise ConfigError(f"{name}: {value} is not above 0")
            elif not isfinite(value) or value < least:
                raise ConfigError(f"{name}: {value} is less than {least}")


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything besides data and parent that decides the weights a run ends with.

    Parameters
    ----------
    family : str
        ``ChronosBoltPipeline`` or ``Chronos2Pipeline``.
    patch_size, prediction_length : int
        Of the model; ``horizon`` is at most the latter.
    device, precision : str
        Resolved; ``bfloat16`` is autocast, the weights stay float32.
    options : FinetuneOptions
        With nothing left open.
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
        """Steps a series needs: a context, one step to learn, and what is held out."""
        return self.options.min_context + 1 + self.validation_steps

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, for records."""
        own = {k: v for k, v in asdict(self).items() if k != "options"}
        return {**asdict(self.options), **own}

    def resume_digest(self) -> str:
        """Return the digest of what a resumed run must share with its checkpoint."""
        kept = {k: v for k, v in self.describe().items() if k not in _EXTENDABLE}
        return digest_value(kept)


def resolve_config(
    options: FinetuneOptions, family: str, info: ForecasterInfo, *, device: str = "auto"
) -> FinetuneConfig:
    """Return what a run comes to for a model.

    Parameters
    ----------
    options : FinetuneOptions
    family : str
        The pipeline class that the model's configuration names.
    info : ForecasterInfo
        Of the parent.
    device : str
        Which of the machine's devices, as ``cuda:1``; the first of the kind when ``auto``.

    Raises
    ------
    ModelError
        When models of this kind cannot be fine-tuned so.
    ConfigError
        When the model cannot look so far, ahead or back.
    MissingExtraError
        When LoRA is asked for without peft.
    """
    if family not in (BOLT, CHRONOS2):
        raise ModelError(
            f"{info.name} is a {family}: only Chronos-Bolt and Chronos-2 can be fine-tuned",
            hint="choose another --model",
        )
    if (family, options.method) not in LEARNING_RATES:
        raise ModelError(
            f"{info.name} is a Chronos-Bolt: LoRA is for Chronos-2",
            hint="leave out --method lora: all weights of a Bolt are trained",
        )
    if options.method == "lora" and find_spec("peft") is None:
        # Chronos would warn, and train all weights instead.
        raise MissingExtraError(
            "--method lora needs peft", hint="install it: pip install 'gigacast[train]'"
        )
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


def _check_within(field_name: str, asked: int, most: int, model: str) -> None:
    if asked > most:
        raise ConfigError(
            f"{field_name}: {asked} steps were asked for, {model} was built for {most}",
            hint=f"give --{field_name} {most} or less, or start from another --model",
        )


class TrainingEvents(Protocol):
    """What a run tells while it goes on."""

    def prepared(self, series: int, points: int) -> None:
        """Take note of how much there is to learn from."""

    def started(self, step: int, steps: int) -> None:
        """Take note that training goes from a step (not 0 when resumed) to another."""

    def stepped(self, step: int, loss: float) -> None:
        """Take note of a step's loss."""

    def validated(self, step: int, loss: float) -> None:
        """Take note of the loss on what is held out."""


class Silent:
    """Hears everything and says nothing."""

    def prepared(self, series: int, points: int) -> None:
        """Nothing."""

    def started(self, step: int, steps: int) -> None:
        """Nothing."""

    def stepped(self, step: int, loss: float) -> None:
        """Nothing."""

    def validated(self, step: int, loss: float) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Origin:
    """What a run starts from and learns from, as digests: a checkpoint belongs to both.

    Parameters
    ----------
    parent : str
        Digest of the model.
    data : str
        Digest of the data's keys and ETags, and of how they are read.
    """

    parent: str
    data: str


@dataclass(frozen=True)
class Limits:
    """When a call ends before the run does, and what it tells.

    Parameters
    ----------
    deadline_s : float
        On the clock.
    clock : Callable
        Seconds that only grow.
    events : TrainingEvents
    """

    clock: Callable[[], float]
    deadline_s: float = float("inf")
    events: TrainingEvents = field(default_factory=Silent)

    def over(self) -> bool:
        """Whether time is up."""
        return self.clock() >= self.deadline_s


@dataclass(frozen=True)
class Finetuned:
    """How a run ended.

    Parameters
    ----------
    step, best_step : int
        Steps taken over all resumptions, and the one whose weights were kept (0 is the parent's).
    finished : bool
        False when time was up: run again to go on.
    stopped_early : bool
        Whether validation stopped getting better before the last step.
    before, after : float
        Loss on what is held out: of the parent, and of the weights that were kept.
    curve : tuple of dict
        At each validation: ``step``, ``loss`` (mean since the last one), ``validation_loss``.
    seconds : float
        Trained, over all resumptions.
    """

    step: int
    best_step: int
    finished: bool
    stopped_early: bool
    before: float
    after: float
    curve: tuple[dict[str, Any], ...]
    seconds: float
