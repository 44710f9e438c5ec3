"""Names of columns, tables and definitions. No other module spells them."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.aggregation import Aggregation, Operation, Window
from gigacast.feature_store.definition.group_by import Accuracy, Derivation, GroupBy
from gigacast.feature_store.definition.join import (
    ContextualSource,
    ExternalPart,
    ExternalSource,
    Join,
    JoinPart,
)
from gigacast.feature_store.definition.source import Source
from gigacast.feature_store.definition.staging_query import StagingQuery

Definition = GroupBy | Join | StagingQuery
"""What is compiled under a name of its own."""
T = TypeVar("T")
DEFAULT_NAMESPACE = "default"
DEFAULT_TEAM = "default"
PARTITION_COLUMN = "ds"
TIME_COLUMN = "ts"
FOLDERS: dict[type, str] = {GroupBy: "group_bys", Join: "joins", StagingQuery: "staging_queries"}
"""Folders of definitions, in a repository and in the store."""
_KINDS = {GroupBy: "group-by", Join: "join", StagingQuery: "staging query"}
_OPERATIONS = {"LAST_K": "last", "FIRST_K": "first", "TOP_K": "top", "BOTTOM_K": "bottom"}
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_NO_COLUMN = re.compile(r"[^A-Za-z0-9_]")
_MAX_NAME = 200
SUFFIXES = {
    "daily_stats": "statistics of each day",
    "logged": "served features",
    "logged_daily_stats": "statistics of served features of each day",
    "bootstrap": "left side with bootstrapped values",
    "labels": "labels",
    "labeled": "features with all versions of their labels",
    "labeled_latest": "features with their newest labels",
    "comparison": "served features beside backfilled ones",
    "consistency": "consistency of served features",
    "upload": "features to serve",
}
"""Ends of the names of tables that belong to another table, with their content."""


def kind_of(definition: Definition) -> str:
    """Return the kind of a definition in words: ``group-by``, ``join``, ``staging query``."""
    return _KINDS[type(definition)]


def parse_name(text: str) -> str:
    """Return the name of a definition that a person writes in one of its forms.

    The forms are ``quickstart.returns.v1``, ``quickstart/returns.v1``, and the path of the
    compiled file.

    Raises
    ------
    ConfigError
        If the text cannot be a name.

    Examples
    --------
    >>> parse_name("production/joins/quickstart/training_set.v2")
    'quickstart.training_set.v2'
    """
    name = text.removesuffix(".json")
    for folder in FOLDERS.values():
        name = name.rpartition(f"{folder}/")[2]
    name = name.strip("/").replace("/", ".")
    if not is_name(name):
        raise ConfigError(
            f"{text[:80]!r} is no name of a definition", hint="write TEAM.FILE.VARIABLE"
        )
    # Names without a team are stored in the folder of a team called so.
    alone = name.removeprefix(f"{DEFAULT_TEAM}.")
    return name if "." in alone else alone


def is_name(text: str) -> bool:
    """Return whether a definition can have a name: letters, digits, underscores and dots."""
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


def name_of(definition: Definition | ExternalSource | ContextualSource) -> str:
    """Return the name of a definition.

    Raises
    ------
    ConfigError
        If it has none.
    """
    if definition.name is None:
        raise ConfigError(
            f"{definition.place}: {type(definition).__name__} has no name",
            hint="compile the file that it is in, or give name='team.name'",
        )
    return definition.name


def team_of(name: str) -> str:
    """Return the team of a definition's name; ``default`` for names without one."""
    team, dot, _ = name.partition(".")
    return team if dot else DEFAULT_TEAM


def path_of(definition: Definition) -> str:
    """Return the path of a compiled definition below the root of definitions."""
    name = name_of(definition)
    team = team_of(name)
    return f"{FOLDERS[type(definition)]}/{team}/{name.removeprefix(f'{team}.')}.json"


def column_name(text: str) -> str:
    """Return a text as part of a column's or a table's name.

    >>> column_name("quickstart.returns.v1")
    'quickstart_returns_v1'
    """
    return _NO_COLUMN.sub("_", text)


def table_name(definition: Definition, suffix: str = "") -> str:
    """Return the name of the output table, or of a table that belongs to it.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    suffix : str
        One of `SUFFIXES`; the output itself by default.
    """
    namespace = definition.output_namespace or DEFAULT_NAMESPACE
    end = f"_{suffix}" if suffix else ""
    return f"{namespace}.{column_name(name_of(definition))}{end}"


def table_names(definition: Definition) -> tuple[str, ...]:
    """Return the names of all tables that a definition may write."""
    if isinstance(definition, StagingQuery):
        return (table_name(definition),)
    if isinstance(definition, GroupBy):
        ends = ["", "upload", "daily_stats"]
        # Answers of those that are served may be logged, and compared.
        ends += ["logged", "comparison", "consistency"] if definition.online else []
        return tuple(table_name(definition, end) for end in ends)
    parts = tuple(part_table_name(definition, part) for part in definition.right_parts)
    suffixes = ["", "daily_stats", "logged", "bootstrap"]
    if definition.label_part:
        suffixes += ["labels", "labeled", "labeled_latest"]
    if definition.check_consistency:
        suffixes += ["comparison", "consistency"]
    return tuple(dict.fromkeys([*(table_name(definition, end) for end in suffixes), *parts]))


def part_name(part: JoinPart) -> str:
    """Return the name of a part of a join, with which its columns begin."""
    prefix = f"{part.prefix}_" if part.prefix else ""
    return f"{prefix}{column_name(name_of(part.group_by))}"


def part_table_name(join: Join, part: JoinPart) -> str:
    """Return the name of the table of one part of a join."""
    return f"{table_name(join)}_{part_name(part)}"


def window_text(window: Window) -> str:
    """Return a window in words: ``7 days``."""
    unit = window.timeUnit.lower()
    return f"{window.length} {unit if window.length != 1 else unit.removesuffix('s')}"


def window_suffix(window: Window) -> str:
    """Return a window as the end of a column's name: ``7d``."""
    return f"{window.length}{window.timeUnit[0].lower()}"


def operation_text(operation: Operation) -> str:
    """Return an operation as part of a column's name: ``sum``, ``last10``."""
    if operation.name in _OPERATIONS:
        return f"{_OPERATIONS[operation.name]}{operation.k}"
    return operation.name.lower()


def feature_name(
    input_column: str, operation: Operation, window: Window | None = None, bucket: str | None = None
) -> str:
    """Return the name of the column of one aggregation, window and bucket.

    >>> feature_name("price", Operation.LAST_K(10))
    'price_last10'
    """
    parts = [input_column, operation_text(operation)]
    parts += [window_suffix(window)] if window else []
    parts += ["by", bucket] if bucket else []
    return "_".join(parts)


def aggregation_columns(aggregation: Aggregation) -> tuple[str, ...]:
    """Return the names of an aggregation's columns: its windows, and in each its buckets."""
    windows: Sequence[Window | None] = aggregation.windows or (None,)
    buckets: Sequence[str | None] = aggregation.buckets or (None,)
    return tuple(
        feature_name(aggregation.input_column or "", aggregation.operation, window, bucket)
        for window in windows
        for bucket in buckets
    )


def aggregated_columns(group_by: GroupBy) -> tuple[str, ...]:
    """Return the names of a group-by's features before its derivations."""
    if group_by.aggregations is not None:
        return tuple(name for part in group_by.aggregations for name in aggregation_columns(part))
    selects = group_by.selects_of(group_by.sources[0]) if group_by.sources else {}
    hidden = {*group_by.keys, TIME_COLUMN, PARTITION_COLUMN}
    return tuple(name for name in selects if name not in hidden)


def derived_columns(columns: Sequence[str], derivations: Sequence[Derivation]) -> tuple[str, ...]:
    """Return the names of columns after derivations.

    With ``*`` all columns stay, except those that a derivation only renames.
    """
    written = [d for d in derivations if d.name != "*"]
    if len(written) == len(derivations):
        return tuple(d.name for d in written)
    renamed = {d.expression.strip() for d in written if d.expression.strip() != d.name}
    stay = [column for column in columns if column not in renamed]
    return tuple(dict.fromkeys([*stay, *(d.name for d in written)]))


def group_by_columns(group_by: GroupBy) -> tuple[str, ...]:
    """Return the names of a group-by's features."""
    columns = aggregated_columns(group_by)
    return derived_columns(columns, group_by.derivations) if group_by.derivations else columns


def key_columns(group_by: GroupBy) -> tuple[str, ...]:
    """Return the columns of a group-by's table that are no features."""
    time = (TIME_COLUMN,) if group_by.used_accuracy == Accuracy.TEMPORAL else ()
    return (*group_by.keys, PARTITION_COLUMN, *time)


def part_columns(part: JoinPart) -> tuple[str, ...]:
    """Return the names of a part's features in its join."""
    return tuple(f"{part_name(part)}_{name}" for name in group_by_columns(part.group_by))


def external_columns(part: ExternalPart) -> tuple[str, ...]:
    """Return the names of an external part's features: ``ext_{prefix}_{name}_{field}``."""
    prefix = f"{part.prefix}_" if part.prefix else ""
    start = f"ext_{prefix}{column_name(part.source.name)}"
    return tuple(f"{start}_{name}" for name, _ in part.source.value_fields)


def computed_columns(join: Join) -> tuple[str, ...]:
    """Return the names of a join's features before its derivations."""
    parts = [name for part in join.right_parts for name in part_columns(part)]
    external = [n for part in join.online_external_parts or () for n in external_columns(part)]
    return (*parts, *external)


def join_columns(join: Join) -> tuple[str, ...]:
    """Return the names of a join's features."""
    columns = computed_columns(join)
    return derived_columns(columns, join.derivations) if join.derivations else columns


def columns_of(definition: Definition) -> tuple[str, ...]:
    """Return the names of a definition's features; none for a staging query."""
    if isinstance(definition, GroupBy):
        return group_by_columns(definition)
    return join_columns(definition) if isinstance(definition, Join) else ()


def skewed_keys(join: Join, part: JoinPart) -> dict[str, tuple[str, ...]]:
    """Return the values that get no features of a part, by the part's key.

    A row is left out if all its skewed keys have such values.
    """
    mapping = part.key_mapping or {}
    values = {mapping.get(name, name): tuple(v) for name, v in (join.skew_keys or {}).items()}
    return {key: values[key] for key in part.group_by.keys if key in values}


def skew_filter(join: Join, part: JoinPart) -> str | None:
    """Return the SQL condition of the rows that get features of a part; None for all.

    Values are written as in the definition: texts must have their quotes.
    """
    skewed = skewed_keys(join, part)
    conditions = [f"{key} NOT IN ({', '.join(values)})" for key, values in skewed.items()]
    return " OR ".join(conditions) or None


def without_repeats(values: Iterable[T]) -> list[T]:
    """Return values in their order, each once."""
    return list(dict.fromkeys(values))


def longest_window_days(aggregations: Iterable[Aggregation]) -> int:
    """Return the days of the longest window, rounded up; one day without windows."""
    hours = [window.hours for part in aggregations for window in part.windows or ()]
    return max((-(-count // 24) for count in hours), default=1)


def source_label(source: Source) -> str:
    """Return what a source is called in messages: its table, or its join."""
    if source.joinSource is not None:
        return f"the join {source.joinSource.join.name or '(without a name)'}"
    return source.tables[0]
