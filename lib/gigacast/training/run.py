"""Fine-tuning as a job: find the parent and the data, train, score, and publish with lineage.

The registry is not changed before training and scoring are complete. A published version becomes
active only on request.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import ConfigError, ModelConflictError, ModelError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.config import ADAPTER_CONFIG, BASE, is_adapter, read_model_config
from gigacast.forecasters.engine import EngineChoice, require_torch
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.prepare import checked_address
from gigacast.job.covariates import with_holiday_tables
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.job.model_choice import resolve_choice
from gigacast.lake.model.active import switch_version
from gigacast.lake.model.file import model_names
from gigacast.lake.model.hub import read_license
from gigacast.lake.model.manifest import check_name, read_folder_manifest
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import ResolvedModel, default_cache, is_shipped
from gigacast.lake.publication import Author
from gigacast.models.publish import ModelDescription, Published, publish_folder
from gigacast.scratch import ScratchFolder
from gigacast.storage.opening import open_store
from gigacast.trainers.corpus import Corpus
from gigacast.trainers.disk import disk_errors
from gigacast.trainers.finetuning.config import (
    FinetuneConfig,
    Finetuned,
    Limits,
    Origin,
    Silent,
    TrainingEvents,
    resolve_config,
)
from gigacast.training.data import (
    Reading,
    TrainingData,
    find_partitions,
    write_corpus,
)
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.score import score_windows

TUNED = "-tuned"
"""Suffix of the default name, if the parent ships with the package and its name is reserved."""
SCORED_ROWS = 256
"""Windows per batch when a version is scored; bounds the memory of the scoring."""


def run_finetune(
    job: FinetuneJob,
    author: Author,
    *,
    events: TrainingEvents | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FinetuneResult:
    """Fine-tune a model on a team's own data and publish it as a version.

    Parameters
    ----------
    job : FinetuneJob
    author : Author
        Author of the version.
    events : TrainingEvents, optional
        Receiver of events; ignored by default.
    clock : callable
        Monotonic clock, in seconds.

    Raises
    ------
    ModelNotFoundError
        If the parent does not exist.
    ModelError
        If the parent cannot be trained, or a loss is not a number.
    ModelConflictError
        If the version exists already.
    ConfigError
        If the settings do not fit the model, or the checkpoint belongs to another run.
    DataError
        If there is no data, or too little.
    StorageError
        If a store cannot be reached, or the disk is full.
    """
    run = _Run.prepare(job, author, events or Silent(), clock)
    place = Path(tempfile.gettempdir())
    with disk_errors(place), ScratchFolder("train") as folder:
        (folder / "corpus").mkdir()
        corpus = write_corpus(
            run.data.groups(),
            run.reading,
            folder / "corpus",
            run.config.least_length,
            run.config.options.hold_out,
        )
        run = replace(run, config=run.config.for_panel(len(corpus)))
        run.limits.events.prepared(len(corpus), corpus.points)
        return run.train(corpus, folder / "model")


@dataclass(frozen=True)
class _Run:
    """A job with its parent, settings and data resolved."""

    request: FinetuneJob
    author: Author
    registry: Registry
    parent: ResolvedModel
    info: ForecasterInfo
    config: FinetuneConfig
    data: TrainingData
    reading: Reading
    limits: Limits

    @classmethod
    def prepare(
        cls,
        request: FinetuneJob,
        author: Author,
        events: TrainingEvents,
        clock: Callable[[], float],
    ) -> "_Run":
        """Resolve parent, settings and data, and check everything that can be checked.

        A training takes hours, so a wrong setting, a missing permission or a taken version must
        fail before it starts.
        """
        require_torch("training")
        job = request.job
        # The version behind `latest` is resolved once, so that the recorded one is the one read.
        if request.data is None:
            job = replace(job, inputs=pin_inputs(job.inputs))
        outputs = open_store(job.outputs)
        for address in {checked_address(job, job.inputs), checked_address(job, job.outputs)}:
            open_store(address).check()
        parent, info = resolve_choice(replace(job.model, engine="torch"), outputs)
        family = _family(parent, request)
        config = resolve_config(request.options, family, info, device=_device(job))
        registry = Registry(outputs)
        check_free(registry, _name_of(request, parent), request.version)
        data = request.data or find_partitions(job, open_inputs(job.inputs))
        method = _fit_columns(job.method, info)
        memory = job.resources.memory_limit_bytes
        reading = Reading(method, request.history, memory, info.takes_groups)
        minutes = request.max_minutes
        deadline = clock() + 60.0 * minutes if minutes is not None else float("inf")
        limits = Limits(clock, deadline, events)
        return cls(request, author, registry, parent, info, config, data, reading, limits)

    def train(self, corpus: Corpus, folder: Path) -> FinetuneResult:
        """Train; once finished, score and publish."""
        from gigacast.trainers.finetuning.run import Finetuning, finetune  # noqa: PLC0415 - torch

        if self.request.threads is not None:
            from gigacast.forecasters.network.device import set_threads  # noqa: PLC0415 - torch

            set_threads(self.request.threads)
        data = self.reading.digest(self.data, has_bases=corpus.bases is not None)
        origin = Origin(self.parent.digest, data)
        checkpoints = self.request.checkpoint_dir or self._own_checkpoints(origin)
        assert self.parent.folder is not None  # noqa: S101 - `_family` has read it
        run = Finetuning(self.parent.folder, self.config, corpus, origin, checkpoints)
        trained = finetune(run, folder, self.limits)
        before = after = published = None
        if trained.finished:
            self._complete_adapter(folder)
            before, after = (self._wql(path, corpus) for path in (self.parent.folder, folder))
            metrics: dict[str, dict[str, float | None]] = {
                "validation_loss": {"before": trained.before, "after": trained.after},
                "validation_wql": {"before": before, "after": after},
            }
            # No step was better than the parent: its weights are published already.
            if trained.best_step > 0:
                published = self._publish(folder, corpus, trained, metrics)
            # Only after publication: if that fails, a rerun resumes at the last step.
            if self.request.checkpoint_dir is None:
                shutil.rmtree(checkpoints, ignore_errors=True)
        return FinetuneResult(
            parent=self.parent,
            done=trained,
            series=len(corpus),
            points=corpus.points,
            skipped=dict(corpus.skipped),
            wql_before=before,
            wql_after=after,
            published=published,
            switched=published is not None and self.request.switch,
            checkpoint_dir=checkpoints,
        )

    def _own_checkpoints(self, origin: Origin) -> Path:
        """Return the folder in the cache that the same job, and no other, finds again."""
        key = digest_value([self.config.resume_digest(), origin.parent, origin.data])
        return default_cache().parent / "training" / key

    def _complete_adapter(self, folder: Path) -> None:
        """Link the base model below an adapter, and make its configuration reproducible."""
        if not is_adapter(folder):
            return
        assert self.parent.folder is not None  # noqa: S101 - `_family` has read it
        # Links suffice, because the files are only read, by scoring and publishing.
        (folder / BASE).mkdir()
        for name in model_names(self.parent.folder):
            (folder / BASE / name).symlink_to((self.parent.folder / name).resolve())
        path = folder / ADAPTER_CONFIG
        source = Source(str(path), ModelError, "not the configuration of an adapter")
        config = read_value(dict[str, Any], decode_json(path.read_bytes(), source), source)
        # peft writes a path of this machine and the modules of a set in random order. Both would
        # change the digest from run to run.
        config["base_model_name_or_path"] = f"{self.parent.name}/{self.parent.version}"
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _wql(self, folder: Path, corpus: Corpus) -> float | None:
        """Return the WQL of a model on the held-out windows; None if undefined."""
        from gigacast.trainers.finetuning.run import window_source  # noqa: PLC0415 - torch

        info = describe_forecaster(
            folder,
            name=self.info.name,
            version=self.info.version,
            digest=self.info.digest,
            choice=EngineChoice("torch", self.info.device, self.info.precision),
        )
        # The same windows for the parent and the new version, and those of the validation.
        windows = window_source(corpus, self.config)
        held_out = windows.validation(self.config.options.validation_windows, SCORED_ROWS)
        return score_windows(load_forecaster(folder, info, self.config.device), held_out)

    def _publish(
        self,
        folder: Path,
        corpus: Corpus,
        trained: Finetuned,
        metrics: Mapping[str, Mapping[str, float | None]],
    ) -> Published:
        description = ModelDescription(
            name=_name_of(self.request, self.parent),
            version=self.request.version,
            license=_license_of(self.parent),
            metrics=metrics,
            source=self._lineage(corpus, trained),
        )
        published = publish_folder(self.registry, folder, description, self.author, activate=False)
        # After publication, in a step of its own: a failed switch leaves a published version that
        # can be switched to later.
        if self.request.switch:
            manifest = published.manifest
            why = self.request.why or f"fine-tuned from {self.parent.name}/{self.parent.version}"
            switch_version(self.registry, manifest.model, manifest.version, self.author, why=why)
        return published

    def _lineage(self, corpus: Corpus, trained: Finetuned) -> dict[str, Any]:
        """Return the origin of the weights: everything that is needed to train them again."""
        read: dict[str, Any] = {
            "series": len(corpus),
            "points": corpus.points,
            "left_out": dict(corpus.skipped),
        }
        if corpus.names:
            past = len(corpus.names) - corpus.known
            read["covariates"] = {"past": corpus.names[:past], "known": corpus.names[past:]}
        parent = self.parent
        return {
            "kind": "training",
            "parent": {
                "model": parent.name,
                "version": parent.version,
                "digest": parent.digest,
                "source": parent.source,
            },
            "record": {
                "settings": self.config.describe(),
                "data": {**self.data.describe(), **read, "history": self.reading.history},
                "steps": trained.step,
                "best_step": trained.best_step,
                "stopped_early": trained.stopped_early,
                "seconds": trained.seconds,
                "curve": list(trained.curve),
            },
        }


def _family(parent: ResolvedModel, request: FinetuneJob) -> str:
    """Return the pipeline class of the parent.

    Raises
    ------
    ModelError
        If the parent has no weights, or is an adapter and another one is requested.
    """
    if parent.folder is None:
        raise ModelError(f"{parent.name} has no weights to train", hint="choose another --model")
    if is_adapter(parent.folder) and request.options.method == "lora":
        raise ModelError(
            f"{parent.name}/{parent.version} is a LoRA adapter: it cannot be the base of another",
            hint="start from its base, or use --method full",
        )
    return str(read_model_config(parent.folder).get("chronos_pipeline_class", "ChronosPipeline"))


def _fit_columns(method: Method, info: ForecasterInfo) -> Method:
    """Return the method with the covariates that a model can be trained with.

    Raises
    ------
    ConfigError
        If it takes none, and the settings do not say ``ignore``.
    """
    names = (*method.columns.covariates, *method.calendar_names)
    if not names or info.takes_groups:
        return with_holiday_tables(method)
    if method.unsupported_covariates == "error":
        raise ConfigError(
            f"{info.name} learns from each series alone: it has no use for {', '.join(names)}",
            hint="start from a Chronos-2 model, or --unsupported_covariates ignore",
        )
    # The known ones stay: the reader cuts off the rows that hold nothing else.
    columns = replace(method.columns, past_covariates=())
    return replace(method, columns=columns, calendar=False, holidays=())


def _device(job: ForecastJob) -> str:
    return job.model.device if job.model.device.startswith("cuda:") else "auto"


def _name_of(request: FinetuneJob, parent: ResolvedModel) -> str:
    """Return the name to publish under.

    Raises
    ------
    ConfigError
        If the name is that of a model that ships with the package.
    """
    name = request.name or (f"{parent.name}{TUNED}" if is_shipped(parent.name) else parent.name)
    if is_shipped(name):
        raise ConfigError(
            f"name: {name} ships with the package: --model {name} would always mean that model",
            hint=f"choose another --name, such as {name}{TUNED}",
        )
    return check_name("name", name)


def check_free(registry: Registry, name: str, version: str | None) -> None:
    """Check that a version is not published yet, before hours are spent on training it.

    Raises
    ------
    ModelConflictError
        If it is.
    """
    if version is not None and registry.find(name, version) is not None:
        raise ModelConflictError(
            f"{name}/{version} is published already", hint="choose another --new_version"
        )


def _license_of(parent: ResolvedModel) -> str | None:
    assert parent.folder is not None  # noqa: S101 - `_family` has read it
    manifest = read_folder_manifest(parent.folder)
    return manifest.license if manifest is not None else read_license(parent.folder)
