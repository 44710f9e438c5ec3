"""What a backfill writes: the tables of a definition, or of a stage of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import Definition, kind_of, name_of
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.engine.engine import Engine
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.feature_store.offline.group_by import GroupByProduct
from gigacast.feature_store.offline.join import BoundJoin
from gigacast.feature_store.offline.label import LabeledProduct, label_products
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.product import (
    JoinProduct,
    LeftProduct,
    PartProduct,
    Product,
    Ready,
)
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.offline.staging import StagingProduct
from gigacast.feature_store.trust.comparison import ComparisonProduct, LoggedProduct
from gigacast.feature_store.trust.stats import StatsProduct
from gigacast.job.forecast_job import Resources
from gigacast.runtime.choice import InlineExecutor, make_executor
from gigacast.runtime.executor import Executor
from gigacast.storage.store import Store, StoreAddress

LOGGED = ("logged", "comparison")
"""Kinds of backfills of the logged answers of a join."""
FINISHED = ("labeled", "stats", "logged_stats")
"""Kinds of backfills that read what other backfills wrote, and no source of the definition."""


@dataclass(frozen=True)
class Backfill:
    """What is backfilled, of which tables, and how.

    Parameters
    ----------
    definition : Join, GroupBy or StagingQuery
    root : StoreAddress
        Folder that holds tables and ``feature_store/``.
    places : mapping of str to str
        The setting ``tables``.
    only : str, optional
        Stage of a join: ``left``, ``parts`` or ``final``.
    kind : str
        ``backfill``, or what belongs to the labels or the logged answers of a join; see
        `products_of`.
    last : str
        Last day of the run.
    label_day : str
        Day of the labels.
    engine : str
        ``local`` or ``spark``.
    resources : Resources
        Executor, processes, and the memory that an aggregation may take.
    """

    definition: Definition
    root: StoreAddress
    places: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    kind: str = "backfill"
    last: str = "9999-12-31"
    label_day: str = ""
    engine: str = "local"
    resources: Resources = field(default_factory=Resources)


def make_engine(
    resources: Resources, store: Store, name: str = "local", rows: Path | None = None
) -> Engine:
    """Return an engine, which keeps tiles in a store.

    Parameters
    ----------
    resources : Resources
        The memory that an aggregation may take.
    store : Store
    name : str
        ``local`` or ``spark``.
    rows : Path, optional
        Folder of rows that are read for tiles; see `TileStore`.

    Raises
    ------
    MissingExtraError
        If it is the engine of Spark, and pyspark or Java is not installed.
    """
    memory = resources.memory_limit_bytes
    limits, tiles = Limits(memory), TileStore(store, memory >> 2, rows)
    if name == "spark":
        # Imported here because starting a backfill needs none of it.
        from gigacast.feature_store.engine.spark import SparkEngine  # noqa: PLC0415
        from gigacast.feature_store.engine.spark_session import load_pyspark  # noqa: PLC0415

        load_pyspark()
        return SparkEngine(limits, tiles)
    return LocalEngine(limits, tiles)


def executor_of(backfill: Backfill, n_tasks: int) -> Executor:
    """Return what runs the tasks of a backfill.

    Raises
    ------
    ConfigError
        If Spark would be started by several processes or elsewhere.
    """
    resources = backfill.resources
    if backfill.engine != "spark":
        return make_executor(resources.executor, resources.n_jobs, n_tasks=n_tasks)
    if resources.executor not in {"auto", "inline"}:
        raise ConfigError(
            f"--executor {resources.executor}: Spark divides the work itself",
            hint="leave --executor out with --engine spark",
        )
    return InlineExecutor()


def products_of(backfill: Backfill, catalog: Catalog, ready: Ready) -> list[Product]:
    """Return what a backfill writes.

    Parameters
    ----------
    backfill : Backfill
    catalog : Catalog
    ready : function
        Returns tables that are done, for the last stage.

    Raises
    ------
    ConfigError
        If a stage is wanted of a definition that has none.
    DataNotFoundError
        If a table has no files.
    """
    definition, only = backfill.definition, backfill.only
    if only is not None and not isinstance(definition, Join):
        raise ConfigError(
            f"--only {only}: {name_of(definition)} is a {kind_of(definition)}, which has no stages",
            hint="leave the flag out, or name a join",
        )
    if backfill.kind != "backfill":
        return _other_products(backfill, catalog)
    if isinstance(definition, GroupBy):
        return [GroupByProduct(PartView.of(catalog, definition, left_is_events=False))]
    if isinstance(definition, StagingQuery):
        return [StagingProduct.of(catalog, definition, backfill.last)]
    return _join_products(BoundJoin.of(catalog, definition), only, ready)


def _other_products(backfill: Backfill, catalog: Catalog) -> list[Product]:
    """Return what belongs to the labels, the logged answers or the statistics of a definition."""
    definition: Any = backfill.definition
    if backfill.kind == "labels":
        return list(label_products(catalog, definition, backfill.label_day))
    if backfill.kind == "labeled":
        return [LabeledProduct.of(catalog, definition, newest=newest) for newest in (False, True)]
    if backfill.kind in LOGGED:
        product = ComparisonProduct if backfill.kind == "comparison" else LoggedProduct
        return [product.of(catalog, definition)]
    return [StatsProduct.of(catalog, definition, logged=backfill.kind == "logged_stats")]


def _join_products(bound: BoundJoin, only: str | None, ready: Ready) -> list[Product]:
    if only == "left":
        return [LeftProduct(bound)]
    if only == "parts":
        return [PartProduct(bound, None, part) for part in bound.parts]
    return [JoinProduct(bound, ready if only == "final" else None)]
