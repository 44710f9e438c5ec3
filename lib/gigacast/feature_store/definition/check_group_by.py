"""Checks of group-bys and of their sources."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.aggregation import DELETABLE, Aggregation, TimeUnit
from gigacast.feature_store.definition.dialect import check_sql, functions_in
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import Accuracy, Derivation, GroupBy
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    TIME_COLUMN,
    aggregated_columns,
    source_label,
    table_name,
)
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.definition.problem import Problem, date_problems, sql_problems
from gigacast.feature_store.definition.source import Source, split_table

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Limits of the sketches: registers of a CPC sketch (as a power of two), size of a KLL sketch.
_SIZES = {"APPROX_UNIQUE_COUNT": (4, 26), "APPROX_PERCENTILE": (8, 65_535)}
_LARGEST_K = 100_000


def group_by_problems(group_by: GroupBy) -> Iterator[Problem]:
    """Yield the reasons to refuse a group-by."""
    if not group_by.sources:
        yield Problem("no sources", group_by.place, "write sources=[Source(...)]")
    if not group_by.keys:
        yield Problem("no keys", group_by.place, 'write keys=["user_id"]')
    yield from date_problems(
        [(name, getattr(group_by, name)) for name in ("backfill_start_date", "deprecation_date")],
        group_by.place,
    )
    for source in group_by.sources:
        yield from source_problems(source)
        yield from _use_problems(group_by, source)
    yield from _agreement_problems(group_by)
    yield from _accuracy_problems(group_by)
    for aggregation in group_by.aggregations or ():
        yield from _aggregation_problems(aggregation)
    columns = aggregated_columns(group_by)
    yield from repeat_problems(columns, group_by.place)
    allowed = [*columns, *group_by.keys, TIME_COLUMN, PARTITION_COLUMN]
    yield from derivation_problems(group_by.derivations or (), allowed, group_by.keys)


def group_by_warnings(group_by: GroupBy) -> Iterator[Problem]:
    """Yield what a person should know about a group-by that is not refused."""
    if not any(source.has_mutations for source in group_by.sources):
        return
    for part in group_by.aggregations or ():
        if part.operation.name not in DELETABLE:
            yield Problem(
                f"{part.operation.name} of {part.input_column} ignores rows that are taken back",
                part.place,
                f"{', '.join(sorted(DELETABLE))} follow them",
            )


def source_problems(source: Source) -> Iterator[Problem]:
    """Yield the reasons to refuse a source, wherever it is used."""
    query = source.query
    functions = functions_in(query.setups)
    mutations = [query.mutation_time_column, query.reversal_column]
    roles: dict[str, Iterable[str | None]] = {
        "select": (query.selects or {}).values(),
        "where": query.wheres or (),
        "time_column": [query.time_column],
        "mutation_time_column, reversal_column": mutations,
    }
    for role, expressions in roles.items():
        yield from sql_problems(role, expressions, query.place, functions)
    bounds = [(name, getattr(query, name)) for name in ("start_partition", "end_partition")]
    yield from date_problems(bounds, query.place)
    for name in query.selects or ():
        yield from name_problems(name, "column", query.place)
    if any(not split_table(table)[0].strip() for table in source.tables):
        yield Problem("the table has no name", source.inner.place, 'write table="data.purchases"')
    if source.events and source.events.isCumulative and query.time_column is None:
        yield Problem(
            f"{source_label(source)} is cumulative and has no time_column",
            source.inner.place,
            "a day of it holds all earlier events, so write Query(time_column=...)",
        )


def derivation_problems(
    derivations: Sequence[Derivation], allowed: Collection[str], reserved: Collection[str]
) -> Iterator[Problem]:
    """Yield the problems of derivations: unknown columns, wrong SQL, names used twice.

    Parameters
    ----------
    derivations : sequence of Derivation
    allowed : collection of str
        Columns that expressions may use.
    reserved : collection of str
        Names that a derivation must not have.
    """
    for derivation in derivations:
        if "*" in (derivation.name, derivation.expression.strip()):
            if derivation.name != derivation.expression.strip():
                yield Problem(
                    f"the derivation {derivation.name!r} has the expression "
                    f"{derivation.expression!r}",
                    derivation.place,
                    'write Derivation("*", "*") to keep the other features',
                )
            continue
        yield from name_problems(derivation.name, "derivation", derivation.place)
        yield from _unknown_columns(derivation, allowed)
        if derivation.name in reserved:
            yield Problem(
                f"the derivation {derivation.name!r} has the name of a key",
                derivation.place,
                "give it another name",
            )
    counts = Counter(derivation.name for derivation in derivations)
    for derivation in derivations:
        if counts.pop(derivation.name, 1) > 1:
            yield Problem(
                f"several derivations are named {derivation.name!r}",
                derivation.place,
                "give each a name of its own",
            )


def name_problems(name: str, role: str, place: Place) -> Iterator[Problem]:
    """Yield the problem of a name that SQL would not take as a column."""
    if not _COLUMN.fullmatch(name):
        yield Problem(
            f"{name[:80]!r} cannot be the name of a {role}",
            place,
            "use letters, digits and underscores, and no digit first",
        )


def repeat_problems(columns: Sequence[str], place: Place, hint: str = "") -> Iterator[Problem]:
    """Yield a problem for each feature that several parts of a definition would write."""
    for name, count in Counter(columns).items():
        if count > 1:
            yield Problem(
                f"{count} features would be named {name}", place, hint or "leave one of them out"
            )


def _unknown_columns(derivation: Derivation, allowed: Collection[str]) -> Iterator[Problem]:
    try:
        columns = columns_in(derivation.expression)
        check_sql(derivation.expression)
    except ConfigError as error:
        yield Problem(
            f"the derivation {derivation.name!r}: {error.message}",
            derivation.place,
            error.hint or "write an expression of Spark SQL",
        )
        return
    for name in columns:
        if name not in allowed:
            yield Problem(
                f"the derivation {derivation.name!r} uses {name}, which is no column",
                derivation.place,
                did_you_mean(name, allowed) or f"one of {', '.join([*allowed][:8])}",
            )


def _use_problems(group_by: GroupBy, source: Source) -> Iterator[Problem]:
    """Yield the reasons why a group-by cannot use one of its sources."""
    place = source.inner.place
    if group_by.aggregations is None:
        if source.is_events or source.has_mutations:
            role = "events" if source.is_events else "entities with mutations"
            yield Problem(
                f"{source_label(source)} holds {role}, which need aggregations",
                group_by.place,
                "write aggregations=[Aggregation(...)]",
            )
        elif source.query.selects is None:
            yield Problem(
                f"{source_label(source)}: without aggregations its columns must be selected",
                place,
                'write Query(selects=select("user_id", "email"))',
            )
    parent = source.joinSource
    if parent is not None and not parent.join.left.topic:
        yield Problem(
            f"the left side of {source_label(source)} has no topic, so that it cannot be a source",
            parent.place,
            "name the topic of its events, or the mutationTopic of its entities",
        )
    if group_by.name is not None and table_name(group_by) in {
        split_table(table)[0] for table in source.tables
    }:
        yield Problem(f"reads its own output, {table_name(group_by)}", place, "read another table")


def _agreement_problems(group_by: GroupBy) -> Iterator[Problem]:
    """Yield the reasons why several sources do not go together."""
    streamed = [source for source in group_by.sources if source.topic]
    if len(streamed) > 1:
        yield Problem(
            f"{len(streamed)} sources are streamed: "
            f"{', '.join(source_label(source) for source in streamed)}",
            streamed[1].place,
            "only one may have a topic",
        )
    written = [source for source in group_by.sources if source.query.selects is not None]
    columns = [set(group_by.selects_of(source)) for source in written]
    for source, names in zip(written[1:], columns[1:], strict=True):
        if names != columns[0]:
            yield Problem(
                f"{source_label(source)} and {source_label(written[0])} differ in the columns "
                f"{', '.join(sorted(names ^ columns[0]))}",
                source.query.place,
                "select the same names from every source",
            )


def _accuracy_problems(group_by: GroupBy) -> Iterator[Problem]:
    if group_by.accuracy == Accuracy.SNAPSHOT and group_by.topic:
        yield Problem(
            f"accuracy SNAPSHOT on a streamed source, {group_by.topic}",
            group_by.place,
            "leave out the accuracy, or the topic",
        )
    if group_by.used_accuracy == Accuracy.SNAPSHOT:
        for part in group_by.aggregations or ():
            if any(window.timeUnit == TimeUnit.HOURS for window in part.windows or ()):
                yield Problem(
                    f"{part.input_column}: a window in hours with accuracy SNAPSHOT, which sees "
                    "rows up to midnight",
                    part.place,
                    "write days, or accuracy=Accuracy.TEMPORAL",
                )
        return
    for source in group_by.sources:
        if source.entities and not source.has_mutations:
            yield Problem(
                f"accuracy TEMPORAL on {source_label(source)}, which changes once a day",
                source.inner.place,
                "name its mutationTable, or leave out the accuracy",
            )
        elif source.joinSource is None and source.query.time_column is None:
            yield Problem(
                f"accuracy TEMPORAL on {source_label(source)}, which has no time_column",
                source.query.place,
                "write Query(time_column=...)",
            )


def _aggregation_problems(aggregation: Aggregation) -> Iterator[Problem]:
    operation, place = aggregation.operation, aggregation.place
    if not aggregation.input_column:
        yield Problem(f"{operation.name} has no input column", place, 'write input_column="amount"')
    else:
        yield from name_problems(aggregation.input_column, "column", place)
    label = f"{operation.name} of {aggregation.input_column}"
    if operation.needs_k and operation.k is None:
        hint = f"write Operation.{operation.name}(10)"
        yield Problem(f"{label} does not say how many values", place, hint)
    low, high = _SIZES.get(operation.name, (1, _LARGEST_K))
    if operation.k is not None and not low <= operation.k <= high:
        yield Problem(f"{label}: k is {operation.k}", place, f"write a number in {low}..{high}")
    wrong = [level for level in operation.percentiles if not 0 <= level <= 1]
    if wrong or (operation.name == "APPROX_PERCENTILE" and not operation.percentiles):
        shown = f"{wrong[0]:g} is no percentile" if wrong else "no percentiles"
        yield Problem(f"{label}: {shown}", place, "write numbers in 0..1, as 0.95")
    if aggregation.element_wise and aggregation.buckets:
        yield Problem(f"{label} is element-wise and has buckets", place, "leave one of them out")
    if aggregation.windows == () or aggregation.buckets == ():
        yield Problem(f"{label}: an empty list of windows or buckets", place, "write None")
