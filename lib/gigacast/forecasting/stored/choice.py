"""The choice among the finished forecasts of a bucket: those of the settings, or the latest."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from gigacast.core.partition.spec import Spec, horizon_of_spec
from gigacast.core.problem import did_you_mean
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataError,
    DataNotFoundError,
    MissingExtraError,
    ModelError,
    ObjectNotFoundError,
)
from gigacast.forecasters.engine import kind_of_engine
from gigacast.forecasting.prepare import Prepared, prepare
from gigacast.forecasting.read import Generation, find_generations, is_spec
from gigacast.forecasting.stored.recipe import Recipe, recipe_at
from gigacast.job.forecast_job import ForecastJob, Method, ModelChoice
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

MOST_OTHERS = 20
"""Specs whose recipes are read to compare them; all are counted."""
_READERS = 8
_MOST_TRIED = 3
"""Files of which the recipe is tried."""


@dataclass(frozen=True, slots=True)
class Other:
    """A spec besides the chosen one.

    Parameters
    ----------
    generation : Generation
    differences : dict, optional
        Settings in which it differs, by their flags; ``None`` if an earlier release made it.
    """

    generation: Generation
    differences: dict[str, Any] | None


@dataclass(frozen=True)
class Chosen:
    """Forecasts that a command looks at.

    Parameters
    ----------
    prepared : Prepared
    generation : Generation, optional
        Finished forecasts that were chosen; ``None`` where the settings decide.
    recipe : Recipe, optional
        What they were made with; ``None`` where the settings decide.
    alternatives : tuple of Other
        Other specs with finished forecasts, the latest first; at most `MOST_OTHERS`.
    other_count : int
        Number of other specs.
    """

    prepared: Prepared
    generation: Generation | None = None
    recipe: Recipe | None = None
    alternatives: tuple[Other, ...] = ()
    other_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the chosen spec with its settings, and the others, for ``--json``."""
        if self.generation is None or self.recipe is None:
            return {}
        return {
            "forecasts": {**name_of(self.generation), "settings": self.recipe.flags},
            "others": [
                {**name_of(entry.generation), "differences": entry.differences}
                for entry in self.alternatives
            ],
        }


def name_of(generation: Generation) -> dict[str, str]:
    """Return model, version and spec of finished forecasts by name."""
    return {name: getattr(generation, name) for name in ("model", "version", "spec")}


def choose_forecasts(job: ForecastJob, *, spec: str | None, is_explicit: bool) -> Chosen:
    """Return the forecasts that a job means.

    They are those of ``spec``; else those of the job itself, if flags or settings describe them;
    else those that were finished last.

    Parameters
    ----------
    job : ForecastJob
    spec : str, optional
        Id of a spec, or the start of its id or of its digest.
    is_explicit : bool
        Whether flags describe the forecasts: then nothing else is looked for.

    Raises
    ------
    DataNotFoundError
        If no spec has this name.
    ConfigError
        If several do.
    StorageError, ModelError, CorruptedFileError
    """
    if spec is None and is_explicit:
        return Chosen(prepare(job))
    outputs = open_store(job.outputs)
    outputs.check()
    generations = find_generations(outputs)
    if spec is not None:
        generation = _named(generations, spec, outputs)
    elif not generations:
        return Chosen(prepare(job))
    elif (described := _described(job, generations)) is not None:
        prepared, generation = described
        if _finds(prepared, generation):
            return Chosen(prepared)
    else:
        generation = generations[0]
    recipe = read_recipe(outputs, generation)
    if recipe is None:
        return _by_settings(job, generation, is_named=spec is not None)
    compared, count = _others(outputs, generations, generation, recipe)
    return Chosen(recipe.prepared(job), generation, recipe, compared, count)


def choose_generation_by_spec(
    outputs: Store, generations: Sequence[Generation], spec: str | None
) -> Generation:
    """Return the finished forecasts of a spec; the latest without one.

    Raises
    ------
    DataNotFoundError, ConfigError
        If no spec, or several, have this name.
    """
    return generations[0] if spec is None else _named(generations, spec, outputs)


def generation_of(chosen: Chosen) -> Generation:
    """Return the finished forecasts that were chosen, also where the settings decide.

    Raises
    ------
    DataNotFoundError
        If no run with these settings has ended.
    """
    if chosen.generation is not None:
        return chosen.generation
    prepared = chosen.prepared
    for generation in find_generations(prepared.outputs):
        if _is_of(generation, prepared.spec, prepared.job.method.horizon):
            return generation
    raise DataNotFoundError(
        f"{prepared.outputs.address.url}: no finished forecasts of this model and these settings",
        hint="`gigacast ls specs` lists those that there are",
    )


def _named(generations: Sequence[Generation], spec: str, outputs: Store) -> Generation:
    matching = [g for g in generations if spec and is_spec(g, spec)]
    # A whole id is meant even if it begins another one.
    exact = [g for g in matching if g.spec == spec]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    names = [f"{g.model}/{g.version}/{g.spec}" for g in (matching or generations)]
    shown = ", ".join(names[:5]) or "none"
    if matching:
        raise ConfigError(
            f"--spec {spec} is the start of {len(matching)} specs: {shown}",
            hint="write more of it, as the digest after the last hyphen",
        )
    raise DataNotFoundError(
        f"{outputs.address.url}: no finished forecasts of the spec {spec}; there are: {shown}",
        hint=did_you_mean(spec, [g.spec for g in generations]) or "`gigacast ls specs` lists them",
    )


def _described(
    job: ForecastJob, generations: Sequence[Generation]
) -> tuple[Prepared, Generation] | None:
    """Return the latest finished forecasts that settings describe; ``None`` if there are none.

    Settings without a horizon describe those of any.
    """
    if not describes_forecasts(job):
        return None
    # A model that is no longer there has nothing to say about forecasts that are.
    try:
        prepared = prepare(job)
    except (ModelError, ConfigError, MissingExtraError):
        return None
    own = (g for g in generations if _is_of(g, prepared.spec, job.method.horizon))
    generation = next(own, None)
    return None if generation is None else (prepared, generation)


def _finds(prepared: Prepared, generation: Generation) -> bool:
    """Whether a run with the settings alone has the horizon of finished forecasts."""
    request = prepared.request()
    manifest, _ = read_manifest(prepared.outputs, generation.key)
    prefix = generation.key.rpartition("/")[0] + "/"
    below = manifest["key"][0].as_py().removeprefix(prefix) if manifest.num_rows else ""
    name = request.pattern.parse(below) or request.pattern.parse(below.removesuffix(".parquet"))
    own = request.horizon or request.model_horizon
    steps = own if name is None else request.horizon_of(name)
    return steps == horizon_of_spec(generation.spec)


def _is_of(generation: Generation, spec: Spec, horizon: int | None) -> bool:
    """Whether finished forecasts are of a spec, with a horizon or with any."""
    steps = horizon or horizon_of_spec(generation.spec)
    names = (generation.model, generation.version, generation.spec)
    return steps is not None and names == (spec.model, spec.version, spec.id(steps))


def describes_forecasts(job: ForecastJob) -> bool:
    """Return whether a job's settings say how forecasts are made, other than by default."""
    return describes_reading(job) or replace(job.model, device="auto") != ModelChoice()


def describes_reading(job: ForecastJob) -> bool:
    """Return whether a job's settings say how series are read and forecast, but for the model."""
    plain, selection = Method(duplicate_share=job.method.duplicate_share), job.selection
    return job.method != plain or selection.by_month or selection.context_partitions > 0


def _by_settings(job: ForecastJob, generation: Generation, *, is_named: bool) -> Chosen:
    """Return the forecasts of the job's own settings, in place of those of an earlier release.

    Raises
    ------
    DataError
        If the spec was named, and is not that of the settings.
    """
    prepared = prepare(job)
    horizon = horizon_of_spec(generation.spec)
    is_own = horizon is not None and prepared.spec.id(horizon) == generation.spec
    if is_named and not is_own:
        raise DataError(
            f"{generation.key}: an earlier release made these forecasts, and did not write down "
            "with which settings",
            hint="give the flags of that run in place of --spec",
        )
    return Chosen(prepared)


def read_recipe(outputs: Store, generation: Generation) -> Recipe | None:
    """Return what forecasts were made with; ``None`` if an earlier release made them.

    Raises
    ------
    CorruptedFileError, StorageError
    """
    manifest, _ = read_manifest(outputs, generation.key)
    if not manifest.num_rows:
        return None
    # The files of a spec agree, except those that an earlier release made: the last is looked at,
    # and those before it where it is damaged or gone.
    keys = manifest["key"][-_MOST_TRIED:].to_pylist()
    for key in reversed(keys[1:]):
        with suppress(CorruptedFileError, ObjectNotFoundError):
            return recipe_at(outputs, key, generation.spec)
    return recipe_at(outputs, keys[0], generation.spec)


def _others(
    outputs: Store, generations: Sequence[Generation], own: Generation, recipe: Recipe
) -> tuple[tuple[Other, ...], int]:
    remainder = [generation for generation in generations if generation != own]

    def compare(generation: Generation) -> Other:
        # A look at one spec must not fail for a fault of another.
        try:
            second = read_recipe(outputs, generation)
        except (DataError, ConfigError):
            second = None
        return Other(generation, None if second is None else second.differences(recipe))

    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(pool.map(compare, remainder[:MOST_OTHERS])), len(remainder)


def siblings(chosen: Chosen) -> frozenset[str]:
    """Return the ids of the specs that differ from the chosen one in the horizon alone.

    A run whose horizons are those of file names makes forecasts of several specs. Empty where the
    settings decide.
    """
    recipe = chosen.recipe
    if recipe is None:
        return frozenset()
    generations = find_generations(chosen.prepared.outputs)
    return frozenset(g.spec for g in generations if _is_of(g, recipe.spec, None))


def with_model(chosen: Chosen) -> Prepared:
    """Return the chosen forecasts prepared with their model, to compute some again.

    Raises
    ------
    ModelError
        If the files of the model are not found.
    """
    recipe, job = chosen.recipe, chosen.prepared.job
    if recipe is None:
        return chosen.prepared
    name, version, digest = recipe.info.name, recipe.info.version, recipe.info.digest
    choices = (job.model, ModelChoice(name, version), ModelChoice(f"sha256:{digest}"))
    for choice in choices:
        exact = replace(
            choice,
            precision=recipe.info.precision,
            device=job.model.device,
            engine=kind_of_engine(recipe.info.engine),
        )
        try:
            prepared = prepare(replace(job, model=exact))
        except (ModelError, ConfigError, MissingExtraError):
            continue
        if prepared.spec.id(recipe.horizon) == recipe.spec.id(recipe.horizon):
            return prepared
    raise ModelError(
        f"{name} {version}, which made these forecasts, is not found with the same files",
        hint="name its folder by --model",
    )
