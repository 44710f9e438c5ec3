"""Fine-tuning as a job: find parent and data, train, publish with lineage.

The registry stays as it was until everything is done; what is published never becomes active unless
that was asked for.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError, ModelConflictError, ModelError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.config import ADAPTER_CONFIG, BASE, is_adapter, read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.prepare import checked_address
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.job.model_choice import resolve_choice
from gigacast.lake.model.active import switch_version
from gigacast.lake.model.file import model_names
from gigacast.lake.model.hub import read_license
from gigacast.lake.model.manifest import check_name, read_folder_manifest
from gigacast.lake.model.registry import Author, Registry
from gigacast.lake.model.resolve import ResolvedModel, default_cache, is_shipped
from gigacast.models.publish import Publication, Published, publish_folder
from gigacast.storage.opening import open_store
from gigacast.trainers.corpus import Corpus
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
SCORED_ROWS = 256


def run_finetune(
    wanted: FinetuneJob,
    author: Author,
    *,
    events: TrainingEvents | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FinetuneResult:
    """Train a better version of a model on a team's own data, and publish it.

    Parameters
    ----------
    wanted : FinetuneJob
    author : Author
        Of the version.
    events : TrainingEvents, optional
        Told how the run goes on.
    clock : callable
        Seconds that only grow.

    Raises
    ------
    ModelNotFoundError
        When there is no such parent.
    ModelError
        When the parent cannot be trained, or a loss is not a number.
    ModelConflictError
        When the version is there already.
    ConfigError
        When the settings do not fit the model, or the checkpoint is another run's.
    DataError
        When there is no data, or too little.
    StorageError
    """
    run = _Run.prepare(wanted, author, events or Silent(), clock)
    with tempfile.TemporaryDirectory(prefix="gigacast-train-") as scratch:
        folder = Path(scratch)
        (folder / "corpus").mkdir()
        corpus = write_corpus(
            run.data.groups(), run.reading, folder / "corpus", run.config.least_length
        )
        run.limits.events.prepared(len(corpus), corpus.points)
        return run.train(corpus, folder / "model")


@dataclass(frozen=True)
class _Run:
    """A job with everything resolved."""

    wanted: FinetuneJob
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
        wanted: FinetuneJob,
        author: Author,
        events: TrainingEvents,
        clock: Callable[[], float],
    ) -> "_Run":
        """Resolve parent, settings and data; refuse what could not end well before it begins."""
        job = wanted.job
        if wanted.data is None:
            job = replace(job, inputs=pin_inputs(job.inputs))
        outputs = open_store(job.outputs)
        for address in {checked_address(job, job.inputs), checked_address(job, job.outputs)}:
            open_store(address).check()
        parent, info = resolve_choice(job.model, outputs)
        config = resolve_config(wanted.options, _family(parent, wanted), info, device=_device(job))
        registry = Registry(outputs)
        check_free(registry, _name_of(wanted, parent), wanted.version)
        data = wanted.data or find_partitions(job, open_inputs(job.inputs))
        reading = Reading(job.method, wanted.history, job.resources.memory_limit_bytes)
        minutes = wanted.max_minutes
        deadline = clock() + 60.0 * minutes if minutes is not None else float("inf")
        limits = Limits(clock, deadline, events)
        return cls(wanted, author, registry, parent, info, config, data, reading, limits)

    def train(self, corpus: Corpus, folder: Path) -> FinetuneResult:
        """Train, score, publish."""
        from gigacast.trainers.finetuning.run import Finetuning, finetune  # noqa: PLC0415 - torch

        if self.wanted.threads is not None:
            from gigacast.forecasters.network.device import set_threads  # noqa: PLC0415 - torch

            set_threads(self.wanted.threads)
        origin = Origin(self.parent.digest, self.reading.digest(self.data))
        place = self.wanted.checkpoint_dir or self._own_checkpoints(origin)
        assert self.parent.folder is not None  # noqa: S101 - `_family` has read it
        run = Finetuning(self.parent.folder, self.config, corpus, origin, place)
        done = finetune(run, folder, self.limits)
        before = after = published = None
        if done.finished:
            self._settle(folder)
            before, after = (self._wql(one, corpus) for one in (self.parent.folder, folder))
            published = self._publish(folder, corpus, done, (before, after))
            if self.wanted.checkpoint_dir is None:
                shutil.rmtree(place, ignore_errors=True)
        return FinetuneResult(
            parent=self.parent,
            done=done,
            series=len(corpus),
            points=corpus.points,
            skipped=dict(corpus.skipped),
            wql_before=before,
            wql_after=after,
            published=published,
            switched=published is not None and self.wanted.switch,
            checkpoint_dir=place,
        )

    def _own_checkpoints(self, origin: Origin) -> Path:
        key = digest_value([self.config.resume_digest(), origin.parent, origin.data])
        return default_cache().parent / "training" / key

    def _settle(self, folder: Path) -> None:
        """Lay the base below an adapter, and take the paths of this machine out of it."""
        if not is_adapter(folder):
            return
        assert self.parent.folder is not None  # noqa: S101 - as above
        (folder / BASE).mkdir()
        for name in model_names(self.parent.folder):
            (folder / BASE / name).symlink_to((self.parent.folder / name).resolve())
        path = folder / ADAPTER_CONFIG
        config = json.loads(path.read_bytes())
        config["base_model_name_or_path"] = f"{self.parent.name}/{self.parent.version}"
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _wql(self, folder: Path, corpus: Corpus) -> float | None:
        from gigacast.trainers.finetuning.run import window_source  # noqa: PLC0415 - torch

        info = describe_forecaster(
            folder,
            name=self.info.name,
            version=self.info.version,
            digest=self.info.digest,
            device=self.info.device,
            precision=self.info.precision,
        )
        windows = window_source(corpus, self.config)
        held_out = windows.validation(self.config.options.validation_windows, SCORED_ROWS)
        return score_windows(load_forecaster(folder, info, self.config.device), held_out)

    def _publish(
        self,
        folder: Path,
        corpus: Corpus,
        done: Finetuned,
        wql: tuple[float | None, float | None],
    ) -> Published:
        wanted = Publication(
            name=_name_of(self.wanted, self.parent),
            version=self.wanted.version,
            license=_license_of(self.parent),
            metrics={
                "validation_loss": {"before": done.before, "after": done.after},
                "validation_wql": dict(zip(("before", "after"), wql, strict=True)),
            },
            source=self._lineage(corpus, done),
        )
        published = publish_folder(self.registry, folder, wanted, self.author, activate=False)
        if self.wanted.switch:
            found = published.manifest
            why = self.wanted.why or f"fine-tuned from {self.parent.name}/{self.parent.version}"
            switch_version(self.registry, found.model, found.version, self.author, why=why)
        return published

    def _lineage(self, corpus: Corpus, done: Finetuned) -> dict[str, Any]:
        """Return where the weights come from: all that training them again takes."""
        read = {"series": len(corpus), "points": corpus.points, "left_out": dict(corpus.skipped)}
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
                "steps": done.step,
                "best_step": done.best_step,
                "stopped_early": done.stopped_early,
                "seconds": done.seconds,
                "curve": list(done.curve),
            },
        }


def _family(parent: ResolvedModel, wanted: FinetuneJob) -> str:
    if parent.folder is None:
        raise ModelError(f"{parent.name} has no weights to train", hint="choose another --model")
    if is_adapter(parent.folder) and wanted.options.method == "lora":
        raise ModelError(
            f"{parent.name}/{parent.version} is a LoRA adapter: another one cannot stand on it",
            hint="start from its base, or use --method full",
        )
    return str(read_model_config(parent.folder).get("chronos_pipeline_class", "ChronosPipeline"))


def _device(job: ForecastJob) -> str:
    return job.model.device if job.model.device.startswith("cuda:") else "auto"


def _name_of(wanted: FinetuneJob, parent: ResolvedModel) -> str:
    """Return what to publish as.

    Raises
    ------
    ConfigError
        When nobody could use it under that name.
    """
    name = wanted.name or (f"{parent.name}{TUNED}" if is_shipped(parent.name) else parent.name)
    if is_shipped(name):
        raise ConfigError(
            f"name: {name} ships with the package: --model {name} would always mean that one",
            hint=f"choose another --name, such as {name}{TUNED}",
        )
    return check_name("name", name)


def check_free(registry: Registry, name: str, version: str | None) -> None:
    """Refuse a version that is there before hours are spent on it.

    Raises
    ------
    ModelConflictError
    """
    if version is not None and registry.find(name, version) is not None:
        raise ModelConflictError(
            f"{name}/{version} is published already", hint="choose another --new_version"
        )


def _license_of(parent: ResolvedModel) -> str | None:
    assert parent.folder is not None  # noqa: S101 - `_family` has read it
    manifest = read_folder_manifest(parent.folder)
    return manifest.license if manifest is not None else read_license(parent.folder)
