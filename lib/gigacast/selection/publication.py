"""The publication of a selection as a version of a model of kind ``portfolio``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from gigacast.core.array import IntArray
from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError, ModelIntegrityError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.portfolio.choices import make_choices
from gigacast.forecasters.portfolio.forecaster import portfolio_info
from gigacast.forecasters.portfolio.recipe import CHOICES, PORTFOLIO, Member, Portfolio, Rule
from gigacast.forecasting.prepare import Prepared, portable_choice
from gigacast.job.audit import versions_of
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.model.active import activate_first, read_active, switch_version
from gigacast.lake.model.file import digest_files, hash_folder
from gigacast.lake.model.manifest import ModelManifest, check_name
from gigacast.lake.model.registry import Registry
from gigacast.lake.publication import Author
from gigacast.scratch import ScratchFolder
from gigacast.selection.decision import Decision
from gigacast.selection.gathering import Gathered
from gigacast.selection.job import ALL, SelectionJob
from gigacast.selection.result import Published
from gigacast.settings.command.selection import SelectOptions
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import table_bytes

KIND = "portfolio"
_SOFTWARE = ("gigacast", "statsforecast", "torch")
_REMEMBERED = (
    *("models", "method", "segment", "metric", "windows", "step", "least_windows"),
    *("margin", "evidence", "sample_partitions", "sample_series"),
)
"""Options that a refresh takes from the version before."""


def member_of(side: Prepared) -> Member:
    """Return a candidate as a portfolio names it.

    Raises
    ------
    ConfigError
        If it is a folder of this machine.
    """
    choice = portable_choice(side.job.model, side.model)
    reference = choice.reference
    # `NAME/VERSION` of a registry; the version has a field of its own.
    if reference == f"{side.model.name}/{side.model.version}":
        reference = side.model.name
    return Member(
        reference,
        side.model.name,
        side.model.version,
        side.model.digest,
        side.job.method.enhance,
    )


def make_portfolio(
    horizon: int,
    sides: Sequence[Prepared],
    decision: Decision,
    gathered: Gathered,
    segment: str,
) -> tuple[Portfolio, bytes | None]:
    """Return the recipe of a decision, and its table of choices.

    Parameters
    ----------
    horizon : int
    sides : sequence of Prepared
        M candidates.
    decision : Decision
    gathered : Gathered
    segment : str
    """
    distinct, place = np.unique(
        np.concatenate([decision.whole[None], decision.weights]), axis=0, return_inverse=True
    )
    codes = place.ravel().astype(np.int64)
    used = np.flatnonzero((distinct > 0).any(axis=0))
    rule: Rule = "table"
    frequencies: Mapping[str, int] = {}
    if segment == ALL:
        rule = "all"
    elif segment == "frequency":
        rule = "frequency"
        frequencies = dict(zip(gathered.labels, map(int, codes[1:]), strict=True))
    portfolio = Portfolio(
        horizon=horizon,
        # Candidates that nothing uses must not be loaded, nor change the digest.
        members=tuple(member_of(sides[m]) for m in map(int, used)),
        mixtures=tuple(tuple(float(w) for w in row[used]) for row in distinct),
        fallback=int(codes[0]),
        rule=rule,
        frequencies=frequencies,
    )
    if rule != "table":
        return portfolio, None
    chosen: IntArray = codes[1:][gathered.unit_of]
    choices = make_choices(gathered.items, gathered.targets, chosen)
    return replace(portfolio, seed=choices.seed), table_bytes(choices.to_table())


def publish_portfolio(
    registry: Registry,
    job: SelectionJob,
    files: Mapping[str, bytes],
    info: ForecasterInfo,
    facts: Mapping[str, Any],
    author: Author,
) -> tuple[Published, bool]:
    """Publish the files of a portfolio, and switch to the version if that is asked.

    Returns
    -------
    Published
    bool
        Whether it was switched to.

    Raises
    ------
    ModelConflictError, ModelError, StorageError
    """
    with ScratchFolder("portfolio") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        listed = hash_folder(Path(folder))
        digest = digest_files(listed)
        version = job.options.model_version or digest[:12]
        manifest = ModelManifest(
            model=job.name,
            version=check_name("version", version),
            digest=digest,
            files=listed,
            source={
                "kind": KIND,
                "inputs": job.forecast.inputs.url,
                "selection": remembered(job),
            },
            created_at=author.now(),
            created_by=author.who,
            architecture="Portfolio",
            context_length=info.context_length,
            prediction_length=info.prediction_length,
            quantile_levels=info.levels,
            metrics=facts,
            software=versions_of(_SOFTWARE),
        )
        new = registry.publish(Path(folder), manifest, author)
    stored = registry.read(job.name, version)
    first = activate_first(registry, stored.model, stored.version, author)
    switched = False
    if job.options.switch and read_active(registry, job.name)[0].version != version:
        why = job.options.why or "selected by a backtest"
        switch_version(registry, job.name, version, author, why=why)
        switched = True
    return Published(stored, new, first), switched


def portfolio_files(portfolio: Portfolio, choices: bytes | None) -> dict[str, bytes]:
    """Return the files of a version by name."""
    table = {} if choices is None else {CHOICES: choices}
    return {PORTFOLIO: portfolio.to_bytes(), **table}


def describe(job: SelectionJob, portfolio: Portfolio, sides: Sequence[Prepared]) -> ForecasterInfo:
    """Return the info of a portfolio from those of its candidates, for its manifest.

    Raises
    ------
    ConfigError
    """
    infos = {(side.model.digest, side.job.method.enhance): side.info for side in sides}
    own = [infos[member.digest, member.enhance] for member in portfolio.members]
    return portfolio_info(job.name, "", "", portfolio, own)


def remembered(job: SelectionJob) -> dict[str, Any]:
    """Return what a refresh takes from a version, as plain values."""
    values = {name: getattr(job.options, name) for name in _REMEMBERED}
    values["models"] = [
        entry.reference + (f"+{entry.enhance}" if entry.enhance else "") for entry in job.candidates
    ]
    return {**values, "horizon": job.forecast.method.horizon}


def refreshed(
    name: str, options: SelectOptions, forecast: ForecastJob
) -> tuple[SelectOptions, ForecastJob]:
    """Return options and job of a refresh of the active version of a portfolio.

    Raises
    ------
    ConfigError, ModelIntegrityError, StorageError
    """
    registry = Registry(open_store(forecast.outputs))
    stored, horizon = options_of_refresh(registry, name, options)
    method = replace(forecast.method, horizon=forecast.method.horizon or horizon)
    return stored, replace(forecast, method=method)


def options_of_refresh(
    registry: Registry, name: str, options: SelectOptions
) -> tuple[SelectOptions, int | None]:
    """Return the options of the active version, for a refresh of it, and its horizon.

    Raises
    ------
    ConfigError
        If there is no portfolio of the name, or an option is given that it has already.
    ModelIntegrityError
    """
    plain = SelectOptions()
    named = [n for n in _REMEMBERED if getattr(options, n) != getattr(plain, n)]
    if named:
        raise ConfigError(
            f"{named[0]}: a refresh takes it from the version that it refreshes",
            hint="leave it out, or select anew without --refresh",
        )
    active = read_active(registry, name)[0].version
    manifest = registry.find(name, active) if active is not None else None
    if manifest is None or manifest.source.get("kind") != KIND:
        raise ConfigError(
            f"refresh: there is no portfolio {name} under {registry.where}",
            hint="select one first, without --refresh",
        )
    source = Source(f"{name}/{active}", ModelIntegrityError, "its selection cannot be read")
    values = dict(manifest.source.get("selection") or {})
    horizon = values.pop("horizon", None)
    if horizon is not None and not isinstance(horizon, int):
        raise source.refuse("not a number", "horizon")
    stored: SelectOptions = read_record(SelectOptions, values, source)
    own = {n: v for n, v in asdict(options).items() if n not in _REMEMBERED}
    return replace(stored, **own), horizon
