"""`ModelManager`: the versions of a team's models, from Python.

A door like the command line, which uses it: it may load settings. The registry is ``models/`` under
the bucket and prefix; without a bucket, ``models/`` in the working folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from gigacast.job.audit import this_author
from gigacast.lake.model.active import (
    Active,
    check_deletable,
    delete_version,
    read_active,
    rollback_version,
    switch_version,
)
from gigacast.lake.model.backup import BackupReport, write_archive
from gigacast.lake.model.cache import ModelCache
from gigacast.lake.model.manifest import ModelManifest
from gigacast.lake.model.registry import Author, Registry
from gigacast.lake.model.resolve import ResolvedModel, find_version
from gigacast.lake.model.restore import RestoreReport, read_archive
from gigacast.lake.model.verify import Verification, verify_versions
from gigacast.models.diff import Comparison, compare_versions
from gigacast.models.gate import Gate, Verdict, judge_version
from gigacast.models.publish import (
    ModelSummary,
    Publication,
    Published,
    download_model,
    list_models,
    publish_folder,
    summarise_model,
)
from gigacast.settings.assembly import addresses, bucket_of, job_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store


class ModelManager:
    """The registry of a bucket, or of a folder.

    Parameters
    ----------
    config : path, optional
        A settings file; its ``run.bucket`` and ``run.prefix`` say where the registry is.
    bucket, prefix, endpoint_url, region : str, optional
        Override the settings. Without any bucket the registry is ``models/`` in the working folder.

    Raises
    ------
    ConfigError
        When the settings are wrong.
    StorageError
        When the bucket or folder cannot be reached.

    Examples
    --------
    >>> manager = ModelManager(bucket="memory://doctest")
    >>> manager.list_models()
    []
    """

    def __init__(
        self,
        config: str | Path | None = None,
        *,
        bucket: str | None = None,
        prefix: str | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
    ) -> None:
        given = {"bucket": bucket, "prefix": prefix, "endpoint_url": endpoint_url, "region": region}
        self._file = Path(config) if config is not None else None
        settings = load_settings(nest_arguments(given), file=self._file)
        root_dir = settings.parquet_loader.data_paths.root_dir
        if settings.run.bucket is None and root_dir is None:
            root_dir = str(Path.cwd())
        self._where = _where(settings, root_dir)
        self._registry = Registry(_open_checked(settings, root_dir))
        self._author: Author = this_author()

    @property
    def registry(self) -> Registry:
        """The registry itself, for what is trained here."""
        return self._registry

    @property
    def where(self) -> str:
        """The registry's address."""
        return self._registry.where

    def list_models(self) -> list[ModelSummary]:
        """Return every model with its versions."""
        return list_models(self._registry)

    def show_model(self, name: str) -> tuple[ModelSummary, Active]:
        """Return a model's versions, and how the active one came to be.

        Raises
        ------
        ModelNotFoundError
        """
        return summarise_model(self._registry, name), read_active(self._registry, name)[0]

    def read_manifest(self, name: str, version: str) -> ModelManifest:
        """Return all that is known of a version.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError
        """
        return self._registry.read(name, version)

    def active_version(self, name: str) -> str | None:
        """Return the active version of a model; ``None`` when none is."""
        return read_active(self._registry, name)[0].version

    def download_model(
        self,
        model: str,
        version: str | None = None,
        *,
        revision: str | None = None,
        name: str | None = None,
    ) -> Published:
        """Fetch a model from the hub and publish it.

        Parameters
        ----------
        model : str
            ``chronos-bolt-small`` or another published name, or a hub id.
        version : str, optional
            The commit's first twelve digits when absent.
        revision : str, optional
            Branch, tag or commit to fetch; what came is pinned to its commit.
        name : str, optional
            The repository's when absent.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, ModelConflictError, StorageError
        """
        wanted = Publication(name, version)
        return download_model(self._registry, model, wanted, revision, self._author)

    def publish_model(  # noqa: PLR0913 - what to publish, and what to say of it
        self,
        folder: str | Path,
        name: str | None = None,
        version: str | None = None,
        *,
        base: str | None = None,
        license: str | None = None,  # noqa: A002 - what it is called everywhere
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Published:
        """Publish a folder as a version of a model.

        Parameters
        ----------
        folder : path
            As ``save_pretrained`` writes it.
        name, version : str, optional
            Told by the folder when absent: ``.../NAME/v1.0``, else its own name and its digest.
        base : str, optional
            Of a LoRA adapter.
        license : str, optional
        metrics, source : mapping, optional
            What was measured, and where it comes from: training says its parent and its record.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, ModelConflictError, StorageError
        """
        wanted = Publication(name, version, base, license, metrics or {}, source)
        return publish_folder(self._registry, Path(folder).expanduser(), wanted, self._author)

    def switch_model(
        self, name: str, version: str, *, why: str = "", expected: str | None = None
    ) -> Active:
        """Make a version the active one.

        Parameters
        ----------
        name, version : str
        why : str
            Goes into the history.
        expected : str, optional
            The version that must be active now, as somebody saw it.

        Raises
        ------
        ModelNotFoundError
            When it is not published; the message lists what is.
        ModelConflictError
            When somebody else was faster; the message shows what is active now.
        """
        return switch_version(
            self._registry, name, version, self._author, why=why, expected=expected
        )

    @with_options()
    def promote_model(
        self,
        name: str,
        version: str,
        *,
        why: str = "",
        gate: Gate | None = None,
        **options: Unpack[Options],
    ) -> Verdict:
        """Make a version the active one if a backtest shows that it is better.

        Parameters
        ----------
        name, version : str
        why : str
            Goes into the history, before the figures.
        gate : Gate, optional
            How it is judged.
        **options
            As for `gigacast.forecast`: which partitions, and how.

        Returns
        -------
        Verdict
            With objections, if there are any: then nothing was switched.

        Raises
        ------
        ModelNotFoundError, DataNotFoundError, ModelRejectedError
        ModelConflictError
            When the active version changed while the backtest ran.
        """
        self._registry.read(name, version)
        active = self.active_version(name)
        arguments = nest_arguments({**self._where, **options})
        job = job_of(load_settings(arguments, file=self._file))
        verdict = judge_version(job, name, version, active, gate or Gate())
        if verdict.is_better:
            told = "; ".join(filter(None, (why, verdict.summary())))
            self.switch_model(name, version, why=told, expected=active)
        return verdict

    def rollback_model(self, name: str, *, why: str = "") -> Active:
        """Go back to the version that was active before; again, and one further back.

        Raises
        ------
        ModelNotFoundError, ModelConflictError
        """
        return rollback_version(self._registry, name, self._author, why=why)

    def verify_model(self, name: str, version: str | None = None) -> Verification:
        """Hash the files of one version, or of all, again where they lie.

        Raises
        ------
        ModelNotFoundError
        """
        return verify_versions(self._registry, name, version)

    def backup_models(self, archive: str | Path, names: Sequence[str] = ()) -> BackupReport:
        """Write versions into one tar file; see `restore_models`.

        Parameters
        ----------
        archive : path
        names : sequence of str
            ``NAME`` or ``NAME/VERSION``; everything when empty.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, StorageError
        """
        return write_archive(self._registry, names, Path(archive))

    def restore_models(self, archive: str | Path) -> RestoreReport:
        """Bring the versions of an archive in; what is there already, and active, is left alone.

        Raises
        ------
        CorruptedFileError, ModelIntegrityError, ModelConflictError, StorageError
        """
        return read_archive(self._registry, Path(archive), self._author)

    def delete_model(
        self, name: str, version: str, *, why: str = "", dry_run: bool = False
    ) -> list[str]:
        """Delete a version that is not active, or what was left of an unfinished one.

        Parameters
        ----------
        name, version : str
        why : str
            Goes into the history.
        dry_run : bool
            Only tell what would be deleted.

        Returns
        -------
        list of str
            The keys.

        Raises
        ------
        ModelConflictError
            When it is active.
        ModelNotFoundError
        """
        check_deletable(self._registry, name, version)
        keys = sorted(meta.key for meta in self._registry.files(name, version).values())
        if not dry_run:
            delete_version(self._registry, name, version, self._author, why=why)
        return keys

    def fetch_model(self, name: str, version: str | None = None) -> ResolvedModel:
        """Return a version with its folder in this machine's cache, every byte verified.

        Parameters
        ----------
        name : str
        version : str, optional
            The active one when absent.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, StorageError
        """
        chosen = version or self.active_version(name)
        found = find_version(self._registry, name, chosen, ModelCache()) if chosen else None
        if found is None:
            raise self._registry.unknown(name, chosen or "the active one")
        return found

    @with_options()
    def diff_versions(
        self,
        name: str,
        first: str,
        second: str,
        *,
        partitions: int = 5,
        series: int = 100,
        sample_seed: int = 0,
        **options: Unpack[Options],
    ) -> Comparison:
        """Forecast a sample of partitions with two versions: what moves, and which is better.

        Parameters
        ----------
        name, first, second : str
        partitions, series, sample_seed : int
            How many partitions, how many series of each, and the sample's seed.
        **options
            As for `gigacast.forecast`: which partitions, and how.

        Raises
        ------
        ModelNotFoundError, DataNotFoundError, ConfigError
        """
        arguments = nest_arguments({**self._where, **options})
        job = job_of(load_settings(arguments, file=self._file))
        return compare_versions(
            job, name, (first, second), partitions=partitions, series=series, seed=sample_seed
        )


def _open_checked(settings: Settings, root_dir: str | None) -> Store:
    """Open the registry's store; on S3 the prefix is asked for: permissions may end there."""
    outputs = addresses(settings.run, root_dir)[1]
    bucket = bucket_of(settings.run, root_dir)
    open_store(bucket if outputs.url.startswith("file://") else outputs).check()
    return open_store(outputs)


def _where(settings: Settings, root_dir: str | None) -> dict[str, Any]:
    """Return where the registry is as arguments, so that a job looks at the same place."""
    run = settings.run
    bucket = run.bucket or f"file://{root_dir}"
    where = {"bucket": bucket, "prefix": run.prefix}
    return where | {"endpoint_url": run.endpoint_url, "region": run.region}
