"""Which finished forecasts a command means: the ones named, described, or finished last."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    ModelError,
    ObjectNotFoundError,
)
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.read import Generation
from gigacast.forecasting.stored import choice
from gigacast.forecasting.stored.choice import (
    Chosen,
    choose_forecasts,
    choose_generation_by_spec,
    describes_forecasts,
    describes_reading,
    generation_of,
    name_of,
    read_recipe,
    siblings,
    with_model,
)
from gigacast.forecasting.stored.recipe import recipe_metadata
from gigacast.job.forecast_job import ForecastJob, Method, ModelChoice
from gigacast.job.spec import make_spec
from gigacast.lake.layout import manifest_key, spec_prefix
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.manifest import ManifestEntry, encode_table, to_table
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import StoreAddress

INFO = SeasonalNaive().info
PARTITIONS = ("2024/01/part-0", "2024/02/part-0")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(str(uuid4()))
    store.put("2024/01/part-0.parquet", b"")
    return store


def job_of(store: MemoryStore, **changes: Any) -> ForecastJob:
    place: StoreAddress = store.address
    return replace(ForecastJob(place, place, place), **changes)


def naive(store: MemoryStore, **changes: Any) -> ForecastJob:
    """Return a job whose settings name the baseline, as all forecasts here were made by."""
    return job_of(store, model=ModelChoice("seasonal-naive"), **changes)


def finish(
    store: MemoryStore,
    method: Method | None = None,
    *,
    horizon: int = 6,
    names: Sequence[str] = PARTITIONS,
    has_recipe: bool = True,
    info: ForecasterInfo = INFO,
    selection: Selection | None = None,
) -> Generation:
    """Write forecasts with their manifest, as a run that ended does."""
    method = replace(method or Method(horizon=horizon), context_length=info.context_length)
    job = job_of(store, method=method)
    spec = make_spec(info, method, selection or Selection())
    metadata = recipe_metadata(spec, horizon, job) if has_recipe else {}
    content = io.BytesIO()
    pq.write_table(pa.table({"item_id": ["a"]}).replace_schema_metadata(metadata), content)
    entries = []
    for name in names:
        key = f"{spec_prefix(info.name, info.version, spec.id(horizon))}{name}.parquet"
        etag = store.put(key, content.getvalue())
        entries.append(ManifestEntry(name, key, etag, 1, len(content.getvalue())))
    manifest = manifest_key(info.name, info.version, spec.id(horizon))
    store.put(manifest, encode_table(to_table(entries)))
    meta = store.head(manifest)
    return Generation(info.name, info.version, spec.id(horizon), meta.modified_ns)


def chosen_spec(chosen: Chosen) -> str | None:
    return None if chosen.generation is None else chosen.generation.spec


# -- names -----------------------------------------------------------------------------------------


def generations(*specs: str) -> list[Generation]:
    return [Generation("m", "v", spec, 9 - place) for place, spec in enumerate(specs)]


def test_a_spec_is_named_by_the_start_of_its_id_or_of_its_digest(store: MemoryStore) -> None:
    every = generations("h6-q9-0a0b0c0d", "h15-q9-0a1b1c1d", "h1-q9-ffffffff", "h1-q9-ffffffff0")
    for named, place in (
        (None, 0),
        ("h6", 0),
        ("h15", 1),
        ("0a1", 1),
        ("0a0b0c0d", 0),
        ("h1-q9-ffffffff", 2),  # the whole id of one, and the start of another
    ):
        assert choose_generation_by_spec(store, every, named) == every[place]
    for several in ("h", "0a", "h1-q9-"):
        with pytest.raises(ConfigError, match="is the start of") as caught:
            choose_generation_by_spec(store, every, several)
        assert "write more of it" in caught.value.hint
    with pytest.raises(ConfigError, match="start of 4 specs: m/v/h6-q9-0a0b0c0d, m/v/h15"):
        choose_generation_by_spec(store, every, "h")
    with pytest.raises(DataNotFoundError, match="there are: m/v/h6-q9-0a0b0c0d, m/v/h15"):
        choose_generation_by_spec(store, every, "q9")
    with pytest.raises(DataNotFoundError, match=r"no finished forecasts of the spec  *; there"):
        choose_generation_by_spec(store, every, "")
    with pytest.raises(DataNotFoundError, match="there are: none") as caught:
        choose_generation_by_spec(store, [], "h6")
    assert "ls specs" in caught.value.hint
    with pytest.raises(DataNotFoundError) as caught:
        choose_generation_by_spec(store, every, "h6-q9-0a0b0c0e")
    assert "did you mean h6-q9-0a0b0c0d" in caught.value.hint


def test_no_more_than_five_specs_are_named(store: MemoryStore) -> None:
    many = generations(*(f"h{n}-q9-0000000{n}" for n in range(1, 8)))
    with pytest.raises(ConfigError) as caught:
        choose_generation_by_spec(store, many, "h")
    assert "7 specs" in str(caught.value)
    assert str(caught.value).count("m/v/") == 5


# -- choices ---------------------------------------------------------------------------------------


def test_without_flags_the_forecasts_are_those_finished_last(store: MemoryStore) -> None:
    first, second, third = (finish(store, horizon=h) for h in (6, 5, 4))
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    assert chosen.generation == third
    assert chosen.recipe is not None
    assert chosen.recipe.horizon == chosen.prepared.job.method.horizon == 4
    assert [candidate.generation for candidate in chosen.alternatives] == [second, first]
    assert [candidate.differences for candidate in chosen.alternatives] == [
        {"horizon": 5},
        {"horizon": 6},
    ]
    assert chosen.other_count == 2
    named = choose_forecasts(job_of(store), spec="h6", is_explicit=False)
    assert named.generation == first
    assert [candidate.generation for candidate in named.alternatives] == [third, second]
    shown = chosen.to_json()
    assert shown["forecasts"] == {**name_of(third), "settings": chosen.recipe.flags}
    assert shown["others"][1] == {**name_of(first), "differences": {"horizon": 6}}


def test_of_many_others_some_are_compared_and_all_counted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "MOST_OTHERS", 2)
    for horizon in (3, 4, 5, 6):
        finish(store, horizon=horizon)
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    assert [candidate.generation.spec[:2] for candidate in chosen.alternatives] == ["h5", "h4"]
    assert chosen.other_count == 3


@pytest.mark.parametrize("is_explicit", [True, False])
def test_without_forecasts_or_by_flags_the_settings_decide(
    is_explicit: bool, store: MemoryStore
) -> None:
    if is_explicit:
        finish(store)
    chosen = choose_forecasts(naive(store), spec=None, is_explicit=is_explicit)
    assert (chosen.generation, chosen.recipe) == (None, None)
    assert (chosen.alternatives, chosen.other_count, chosen.to_json()) == ((), 0, {})
    assert chosen.prepared.spec.model == "seasonal-naive"
    assert siblings(chosen) == frozenset()
    assert with_model(chosen) == chosen.prepared


def test_settings_that_describe_finished_forecasts_choose_these(store: MemoryStore) -> None:
    six = finish(store, horizon=6)
    five = finish(store, horizon=5)
    # The settings alone find them: the horizon is named.
    chosen = choose_forecasts(naive(store, method=Method(horizon=6)), spec=None, is_explicit=False)
    assert (chosen.generation, chosen.prepared.job.method.horizon) == (None, 6)
    assert generation_of(chosen) == six
    # Without a horizon the model's own would be another: the latest of them are meant.
    anyone = choose_forecasts(naive(store), spec=None, is_explicit=False)
    assert anyone.generation == generation_of(anyone) == five
    # Nobody has made those that are described: the latest of all are meant.
    chosen = choose_forecasts(naive(store, method=Method(horizon=7)), spec=None, is_explicit=False)
    assert chosen.generation == five
    # Nor is a model that is not there described by anything.
    chosen = choose_forecasts(
        job_of(store, model=ModelChoice("no-such-model", detect=False)),
        spec=None,
        is_explicit=False,
    )
    assert chosen.generation == five


def test_the_models_own_horizon_needs_no_name(store: MemoryStore) -> None:
    own = INFO.prediction_length
    finish(store, Method(), horizon=own)
    chosen = choose_forecasts(naive(store), spec=None, is_explicit=False)
    assert chosen.generation is None
    assert generation_of(chosen).spec.startswith(f"h{own}-")


@pytest.mark.parametrize("name", ["EUR_5min_h15_2024_01_ab12", "EUR_5min_h15_2024_01_ab12.csv"])
def test_the_horizon_of_a_file_name_needs_no_other(name: str, store: MemoryStore) -> None:
    finish(store, Method(), horizon=3, names=[f"2024/01/{name}"])
    chosen = choose_forecasts(naive(store), spec=None, is_explicit=False)
    assert chosen.generation is None
    # A run with another horizon is named by it.
    candidate = finish(store, Method(), horizon=16, names=[f"2024/01/{name}"])
    assert choose_forecasts(naive(store), spec=None, is_explicit=False).generation == candidate


def test_finished_forecasts_of_other_settings_are_not_those_of_a_job(store: MemoryStore) -> None:
    finish(store, Method(horizon=6, min_length=9))
    chosen = choose_forecasts(naive(store, method=Method(horizon=6)), spec=None, is_explicit=True)
    with pytest.raises(DataNotFoundError, match="no finished forecasts of this model") as caught:
        generation_of(chosen)
    assert "ls specs" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "reading", "forecasts"),
    [
        ({}, False, False),
        ({"model": ModelChoice(device="cpu")}, False, False),
        ({"model": ModelChoice("seasonal-naive")}, False, True),
        ({"model": ModelChoice(precision="float32")}, False, True),
        ({"method": Method(duplicate_share=0.5)}, False, False),
        ({"method": Method(horizon=3)}, True, True),
        ({"selection": Selection(symbols=frozenset({"A"}))}, False, False),
        ({"selection": Selection(by_month=True)}, True, True),
        ({"selection": Selection(context_partitions=1)}, True, True),
    ],
    ids=str,
)
def test_settings_describe_forecasts_if_they_are_not_the_defaults(
    changes: dict[str, Any], reading: bool, forecasts: bool, store: MemoryStore
) -> None:
    job = job_of(store, **changes)
    assert (describes_reading(job), describes_forecasts(job)) == (reading, forecasts)


# -- recipes of files ------------------------------------------------------------------------------


def keys_of(store: MemoryStore) -> list[str]:
    listed = [entry.key for page in store.list("forecasts/") for entry in page]
    return [key for key in listed if key.endswith("part-0.parquet")]


def test_a_damaged_file_is_passed_over_for_the_one_before(store: MemoryStore) -> None:
    months = [f"2024/{month:02d}/part-0" for month in range(1, 6)]
    generation = finish(store, names=months)
    recipe = read_recipe(store, generation)
    assert recipe is not None
    keys = keys_of(store)
    contents = [store.get(key) for key in keys]
    # Of the last three any one is enough.
    for readable in (2, 3, 4):
        for place in {2, 3, 4} - {readable}:
            store.put(keys[place], b"PAR1")
        assert read_recipe(store, generation) == recipe
        for key, content in zip(keys, contents, strict=True):
            store.put(key, content)
    store.put(keys[4], b"PAR1")
    store.delete([keys[3]])
    assert read_recipe(store, generation) == recipe
    # The first of them is not tried any more, as whole as it is.
    store.delete([keys[2]])
    with pytest.raises(ObjectNotFoundError):
        read_recipe(store, generation)


def test_without_a_row_there_is_no_recipe(store: MemoryStore) -> None:
    assert read_recipe(store, finish(store, names=())) is None
    assert read_recipe(store, Generation("m", "v", "h1-q1-00000000", 0)) is None
    (single,) = [finish(store, names=PARTITIONS[:1])]
    assert read_recipe(store, single) is not None


def test_forecasts_of_an_earlier_release_are_those_of_the_settings(store: MemoryStore) -> None:
    old = finish(store, horizon=3, has_recipe=False)
    job = naive(store, method=Method(horizon=3))
    for spec in (None, old.spec):
        chosen = choose_forecasts(job, spec=spec, is_explicit=False)
        assert chosen.generation is None
        assert generation_of(chosen) == old
    # With other settings nobody knows what they were made with.
    candidate = naive(store, method=Method(horizon=3, min_length=9))
    with pytest.raises(DataError, match="an earlier release made these forecasts"):
        choose_forecasts(candidate, spec=old.spec, is_explicit=False)
    assert choose_forecasts(candidate, spec=None, is_explicit=False).generation is None
    # Beside others they are named, without a word of how they differ.
    finish(store, horizon=5)
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    assert [(o.generation, o.differences) for o in chosen.alternatives] == [(old, None)]


def test_a_fault_of_another_spec_is_none_of_the_chosen(store: MemoryStore) -> None:
    bad = finish(store, horizon=3)
    for key in keys_of(store):
        store.put(key, b"PAR1")
    finish(store, horizon=5)
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    assert [(o.generation, o.differences) for o in chosen.alternatives] == [(bad, None)]


def test_siblings_differ_in_the_horizon_alone(store: MemoryStore) -> None:
    siblings_made = [finish(store, Method(), horizon=h) for h in (3, 4)]
    finish(store, Method(min_length=9), horizon=3)
    finish(store, Method(), horizon=3, info=replace(INFO, version="2"))
    chosen = choose_forecasts(job_of(store), spec=siblings_made[1].spec, is_explicit=False)
    assert siblings(chosen) == {generation.spec for generation in siblings_made}


def test_the_model_of_forecasts_is_found_by_its_name_or_refused(store: MemoryStore) -> None:
    finish(store, horizon=4)
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    prepared = with_model(chosen)
    assert chosen.recipe is not None
    assert prepared.info.name == "seasonal-naive"
    assert prepared.spec.id(4) == chosen.recipe.spec.id(4)
    finish(store, horizon=5, info=replace(INFO, digest="0" * 64))
    chosen = choose_forecasts(job_of(store), spec=None, is_explicit=False)
    with pytest.raises(ModelError, match="is not found with the same files"):
        with_model(chosen)
