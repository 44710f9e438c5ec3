"""`ModelManager`: the registry of a team's models, for Python and the command line.

The registry is ``models/`` under the bucket and prefix; without a bucket, in the working folder.
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
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import ResolvedModel, find_version
from gigacast.lake.model.restore import RestoreReport, read_archive
from gigacast.lake.model.verify import Verification, verify_versions
from gigacast.lake.publication import Author
from gigacast.models.diff import Comparison, VersionPair, compare_versions
from gigacast.models.gate import Gate, Verdict, judge_version
from gigacast.models.publish import (
    ModelDescription,
    ModelSummary,
    Published,
    download_model,
    list_models,
    publish_folder,
    summarise_model,
)
from gigacast.settings.argument import as_path, checked
from gigacast.settings.assembly import addresses, bucket_of, job_of
from gigacast.settings.command.common import ReasonOption
from gigacast.settings.command.models import (
    DiffModelOptions,
    DownloadOptions,
    PublishModelOptions,
    SwitchOptions,
)
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store


@checked
class ModelManager:
    """The model registry of a bucket or folder.

    Parameters
    ----------
    config : path, optional
        Settings file; its ``run.bucket`` and ``run.prefix`` locate the registry.
    bucket, prefix, endpoint_url, region : str, optional
        Overrides of the settings. Without any bucket the registry is ``models/`` in the working
        folder.

    Raises
    ------
    ConfigError
        If the settings are invalid.
    StorageError
        If the bucket or folder cannot be reached.

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
        place = {"bucket": bucket, "prefix": prefix, "endpoint_url": endpoint_url, "region": region}
        self._file = as_path("config", config)
        settings = load_settings(nest_arguments(place), file=self._file)
        root_dir = settings.parquet_loader.data_paths.root_dir
        root_dir = root_dir if root_dir or settings.run.bucket else str(Path.cwd())
        self._location = _location(settings, root_dir)
        self._registry = Registry(_open_checked(settings, root_dir))
        self._author: Author = this_author()

    @property
    def registry(self) -> Registry:
        """The registry itself, for training jobs that publish to it."""
        return self._registry

    @property
    def where(self) -> str:
        """Address of the registry."""
        return self._registry.where

    def list_models(self) -> list[ModelSummary]:
        """Return all models with their versions."""
        return list_models(self._registry)

    def show_model(self, name: str) -> tuple[ModelSummary, Active]:
        """Return a model's versions, and its active version with the history of switches.

        Raises
        ------
        ModelNotFoundError
        """
        return summarise_model(self._registry, name), read_active(self._registry, name)[0]

    def read_manifest(self, name: str, version: str) -> ModelManifest:
        """Return the manifest of a version.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError
        """
        return self._registry.read(name, version)

    def active_version(self, name: str) -> str | None:
        """Return the active version of a model; None if it has none."""
        return read_active(self._registry, name)[0].version

    @with_options(own=rows_of(DownloadOptions))
    def download_model(
        self,
        model: str,
        version: str | None = None,
        *,
        revision: str | None = None,
        name: str | None = None,
    ) -> Published:
        """Download a model from the hub and publish it.

        Parameters
        ----------
        model : str
            Name of a published model, such as ``chronos-bolt-small``, or a hub id.
        version : str, optional
            Version to publish as; the first twelve digits of the commit by default.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, ModelConflictError, StorageError
        """
        description = ModelDescription(name, version)
        return download_model(self._registry, model, description, revision, self._author)

    @with_options(own=rows_of(PublishModelOptions))
    def publish_model(  # noqa: PLR0913 - public keywords
        self,
        folder: str | Path,
        name: str | None = None,
        version: str | None = None,
        *,
        base: str | None = None,
        license: str | None = None,  # noqa: A002 - the name of the field in model cards
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Published:
        """Publish a folder as a version of a model.

        Parameters
        ----------
        folder : path
            Folder as written by ``save_pretrained``.
        name, version : str, optional
            Name and version; by default those of a folder ``.../NAME/v1.0``, else the folder's own
            name and the start of the digest.
        metrics, source : mapping, optional
            Measured figures and origin for the manifest; the folder is the origin by default.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, ModelConflictError, StorageError
        """
        description = ModelDescription(name, version, base, license, metrics or {}, source)
        path = Path(folder).expanduser()
        return publish_folder(self._registry, path, description, self._author)

    @with_options(own=rows_of(SwitchOptions))
    def switch_model(
        self, name: str, version: str, *, why: str = "", expected: str | None = None
    ) -> Active:
        """Make a version active.

        Parameters
        ----------
        name, version : str
            Model, and the version to make active.

        Raises
        ------
        ModelNotFoundError
            If the version is not published; the message lists the published ones.
        ModelConflictError
            If another version is active than expected; the message names it.
        """
        return switch_version(
            self._registry, name, version, self._author, why=why, expected=expected
        )

    @with_options(keywords_of("promote_model"), own=rows_of(ReasonOption))
    def promote_model(
        self,
        name: str,
        version: str,
        *,
        why: str = "",
        gate: Gate | None = None,
        **options: Unpack[Options],
    ) -> Verdict:
        """Make a version active if a backtest shows that it is better.

        Parameters
        ----------
        name, version : str
            Model, and the version; the figures are appended to the reason.
        gate : Gate, optional
            Size of the backtest and criteria; the defaults of `Gate` by default.
        **options
            Selected partitions and method, as for `gigacast.forecast`.

        Returns
        -------
        Verdict
            If it has objections, nothing was switched.

        Raises
        ------
        ModelNotFoundError, DataNotFoundError, ModelRejectedError
        ModelConflictError
            If the active version changed while the backtest ran.
        """
        check_used("promote_model", options)
        self._registry.read(name, version)
        active = self.active_version(name)
        job = job_of(load_settings(nest_arguments({**self._location, **options}), file=self._file))
        verdict = judge_version(job, name, version, active, gate or Gate(), self._registry)
        if verdict.is_better:
            reason = "; ".join(filter(None, (why, verdict.summary())))
            # The verdict holds only against the version that it was compared with.
            self.switch_model(name, version, why=reason, expected=active)
        return verdict

    def rollback_model(self, name: str, *, why: str = "") -> Active:
        """Make the previously active version active; each further call goes one version back.

        Raises
        ------
        ModelNotFoundError, ModelConflictError
        """
        return rollback_version(self._registry, name, self._author, why=why)

    def verify_model(self, name: str, version: str | None = None) -> Verification:
        """Hash the stored files of one version, or of all by default, and compare the digests.

        Raises
        ------
        ModelNotFoundError
        """
        return verify_versions(self._registry, name, version)

    def backup_models(self, archive: str | Path, names: Sequence[str] = ()) -> BackupReport:
        """Write versions into a tar file; see `restore_models`.

        Parameters
        ----------
        archive : path
            Path of the tar file.
        names : sequence of str
            ``NAME`` or ``NAME/VERSION``; all versions by default.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, StorageError
        """
        return write_archive(self._registry, names, Path(archive))

    def restore_models(self, archive: str | Path) -> RestoreReport:
        """Publish the versions of an archive; existing and active versions are not changed.

        Raises
        ------
        CorruptedFileError, ModelIntegrityError, ModelConflictError, StorageError
        """
        return read_archive(self._registry, Path(archive), self._author)

    @with_options(own=rows_of(ReasonOption))
    def delete_model(
        self, name: str, version: str, *, why: str = "", dry_run: bool = False
    ) -> list[str]:
        """Delete a version that is not active, or the remains of an unfinished one.

        Parameters
        ----------
        name, version : str
            Model and version.
        dry_run : bool
            Return the keys without deleting them.

        Returns
        -------
        list of str
            Keys of the version.

        Raises
        ------
        ModelConflictError
            If the version is active.
        ModelNotFoundError
            If it does not exist.
        """
        check_deletable(self._registry, name, version)
        keys = sorted(meta.key for meta in self._registry.files(name, version).values())
        if not dry_run:
            delete_version(self._registry, name, version, self._author, why=why)
        return keys

    def fetch_model(self, name: str, version: str | None = None) -> ResolvedModel:
        """Return a version with its folder in this machine's cache, verified by its digest.

        Parameters
        ----------
        name : str
        version : str, optional
            Version; the active one by default.

        Raises
        ------
        ModelNotFoundError, ModelIntegrityError, StorageError
        """
        chosen = version or self.active_version(name)
        model = find_version(self._registry, name, chosen, ModelCache()) if chosen else None
        if model is None:
            raise self._registry.unknown(name, chosen or "the active one")
        return model

    @with_options(keywords_of("diff_versions"), own=rows_of(DiffModelOptions))
    def diff_versions(
        self,
        name: str,
        first: str,
        second: str,
        *,
        partitions: int = DiffModelOptions.partitions,
        series: int = DiffModelOptions.series,
        sample_seed: int = DiffModelOptions.sample_seed,
        **options: Unpack[Options],
    ) -> Comparison:
        """Compare the forecasts and the accuracy of two versions on a sample of partitions.

        Parameters
        ----------
        name, first, second : str
            Name of the model and its two versions.
        **options
            Selected partitions and method, as for `gigacast.forecast`.

        Raises
        ------
        ModelNotFoundError, DataNotFoundError, ConfigError
        """
        check_used("diff_versions", options)
        job = job_of(load_settings(nest_arguments({**self._location, **options}), file=self._file))
        pair = VersionPair(first, second)
        return compare_versions(
            job, name, pair, partitions=partitions, series=series, seed=sample_seed
        )


def _open_checked(settings: Settings, root_dir: str | None) -> Store:
    """Open the store of the registry and check that it can be reached."""
    outputs = addresses(settings.run, root_dir)[1]
    # On S3 the prefix is checked, because permissions may be limited to it. A folder is checked at
    # its root, because the prefix may not exist yet.
    bucket = bucket_of(settings.run, root_dir)
    open_store(bucket if outputs.url.startswith("file://") else outputs).check()
    return open_store(outputs)


def _location(settings: Settings, root_dir: str | None) -> dict[str, Any]:
    """Return the registry's location as options, so that jobs use the same bucket and prefix."""
    run = settings.run
    bucket = {"bucket": run.bucket or f"file://{root_dir}", "prefix": run.prefix}
    return bucket | {"endpoint_url": run.endpoint_url, "region": run.region}
