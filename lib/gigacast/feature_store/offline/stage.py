"""What a backfill writes: the tables of a definition, or of a stage of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from gigacast.job.forecast_job import Resources
from gigacast.storage.store import Store, StoreAddress


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
        ``backfill``, or what belongs to the labels of a join; see `products_of`.
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


def make_engine(resources: Resources, store: Store) -> Engine:
    """Return the engine of this machine, which keeps tiles in a store."""
    memory = resources.memory_limit_bytes
    return LocalEngine(Limits(memory), TileStore(store, memory >> 2))


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
    if isinstance(definition, GroupBy):
        return [GroupByProduct(PartView.of(catalog, definition, left_is_events=False))]
    if isinstance(definition, StagingQuery):
        return [StagingProduct.of(catalog, definition, backfill.last)]
    if backfill.kind == "labels":
        return list(label_products(catalog, definition, backfill.label_day))
    if backfill.kind == "labeled":
        return [LabeledProduct.of(catalog, definition, newest=newest) for newest in (False, True)]
    return _join_products(BoundJoin.of(catalog, definition), only, ready)


def _join_products(bound: BoundJoin, only: str | None, ready: Ready) -> list[Product]:
    if only == "left":
        return [LeftProduct(bound)]
    if only == "parts":
        return [PartProduct(bound, None, part) for part in bound.parts]
    return [JoinProduct(bound, ready if only == "final" else None)]
