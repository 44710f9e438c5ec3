"""Section ``batch`` of the settings: how a run is divided over AWS Batch."""

from datetime import timedelta

from gigacast.job.batch_options import ArrayOptions, QueueChoice
from gigacast.settings.field import Section, option

_DEFAULTS = ArrayOptions()


class BatchSettings(Section):
    """How a run is divided over AWS Batch; see `ArrayOptions`."""

    stack: str = option(
        _DEFAULTS.stack,
        "Name of the deployment: its queues are STACK-cpu and STACK-gpu.",
        group="array",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
    )
    queue: QueueChoice = option(
        _DEFAULTS.queue,
        "Queue; auto compares the costs of start-up and work.",
        group="array",
        details="`auto` is the queue on which start-up and work cost less. Work is estimated from "
        "receipts, else from bytes; start-up, prices and the GPU's speed are the settings "
        "`batch.*` and the table of prices. A model without weights goes to the CPUs.",
    )
    children: int | None = option(
        _DEFAULTS.children,
        "Maximum children of the array; derived from the work by default.",
        group="array",
        details="By default each child has `batch.child_minutes` of work. More than 10,000 of them "
        "become several arrays, a single one a plain job.",
        ge=1,
    )
    child_minutes: float = option(
        _DEFAULTS.target_s / 60, "Minutes of work that a child is started for.", gt=0
    )
    child_timeout_minutes: int = option(
        _DEFAULTS.timeout_s // 60,
        "Minutes after which an attempt of a child ends.",
        ge=1,
        le=10_080,  # a week
    )
    plan_hours: int = option(
        _DEFAULTS.valid_for // timedelta(hours=1),
        "Hours after which children refuse a plan.",
        ge=1,
        le=8_760,  # a year
    )
    help_late: bool | None = option(
        _DEFAULTS.help_late,
        "Children that have done their tasks do the last ones of children that are late; by "
        "default where 100 or more forecast.",
    )
    cpu_instance: str = option(
        _DEFAULTS.cpu_instance, "Machine of a CPU child, as the table of prices names it."
    )
    gpu_instance: str = option(
        _DEFAULTS.gpu_instance, "Machine of a GPU child, as the table of prices names it."
    )
    cpu_speed: float = option(
        _DEFAULTS.cpu.speed, "Speed of a CPU child's machine; 1 is that of one CPU process.", gt=0
    )
    gpu_speed: float = option(
        _DEFAULTS.gpu.speed, "Speed of a GPU child's machine; 1 is that of one CPU process.", gt=0
    )
    cpu_startup_s: float = option(
        _DEFAULTS.cpu.startup_s, "Seconds until a machine of the CPU queue starts to work.", ge=0
    )
    gpu_startup_s: float = option(
        _DEFAULTS.gpu.startup_s, "Seconds until a machine of the GPU queue starts to work.", ge=0
    )
