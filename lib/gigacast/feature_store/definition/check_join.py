"""Checks of joins, and of their external parts and labels."""

from collections.abc import Iterator

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.check_group_by import (
    derivation_problems,
    name_problems,
    repeat_problems,
    source_problems,
)
from gigacast.feature_store.definition.dialect import functions_in
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import Derivation, GroupBy
from gigacast.feature_store.definition.join import ExternalPart, Join, JoinPart
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    TIME_COLUMN,
    computed_columns,
    source_label,
    table_name,
)
from gigacast.feature_store.definition.problem import Problem, date_problems, sql_problems
from gigacast.feature_store.definition.source import split_table


def join_problems(join: Join) -> Iterator[Problem]:
    """Yield the reasons to refuse a join; those of its group-bys are their own."""
    yield from source_problems(join.left)
    yield from _left_problems(join)
    if not join.right_parts and not join.online_external_parts:
        yield Problem("no right_parts", join.place, "write right_parts=[JoinPart(group_by=...)]")
    yield from date_problems([("deprecation_date", join.deprecation_date)], join.place)
    for name in ("sample_percent", "consistency_sample_percent"):
        if not 0 <= getattr(join, name) <= 100:
            yield Problem(f"{name}: {getattr(join, name)!r}", join.place, "write 0 to 100")
    for part in join.right_parts:
        yield from _part_problems(join, part)
    for external in join.online_external_parts or ():
        yield from _external_problems(join, external)
    yield from _bootstrap_problems(join)
    yield from _label_problems(join)
    if any(part.group_by.name is None for part in join.right_parts):
        return  # without names there are no columns
    columns = computed_columns(join)
    yield from repeat_problems(
        columns, join.place, "give one of the parts a prefix, as JoinPart(prefix='buyer', ...)"
    )
    yield from _derivation_problems(join, columns)


def join_warnings(join: Join) -> Iterator[Problem]:
    """Yield what a person should know about a join that is not refused."""
    for part in join.right_parts:
        if part.group_by.deprecation_date:
            yield Problem(
                f"uses the group-by {part.group_by.name}, which is deprecated from "
                f"{part.group_by.deprecation_date} on",
                part.place,
                "use another one before that day",
            )


def _left_problems(join: Join) -> Iterator[Problem]:
    left = join.left
    if left.joinSource:
        yield Problem(
            f"the left side is {source_label(left)}",
            left.place,
            "join rows of a table; a join can be the source of a group-by",
        )
        return
    if left.events and left.events.isCumulative:
        yield Problem(
            f"the left side, {source_label(left)}, is cumulative",
            left.inner.place,
            "join events of which each day holds its own",
        )
    if join.name is not None and table_name(join) in {split_table(t)[0] for t in left.tables}:
        yield Problem(
            f"reads its own output, {table_name(join)}", left.inner.place, "read another table"
        )


def _part_problems(join: Join, part: JoinPart) -> Iterator[Problem]:
    group_by = part.group_by
    if join.online and not group_by.online:
        yield Problem(
            f"is online and {_label(group_by)} is not", part.place, "write online=True in both"
        )
    if join.production and group_by.production is False:
        yield Problem(
            f"is in production and {_label(group_by)} has production=False",
            part.place,
            "write production=True in both, or in none",
        )
    if part.prefix is not None:
        yield from name_problems(part.prefix, "prefix", part.place)
    yield from _key_problems(join, part)


def _key_problems(join: Join, part: JoinPart) -> Iterator[Problem]:
    """Yield the keys of a part that the left side does not have."""
    mapping = {right: left for left, right in (part.key_mapping or {}).items()}
    for right in mapping:
        if right not in part.group_by.keys:
            yield Problem(
                f"key_mapping names {right}, which is no key of {_label(part.group_by)}",
                part.place,
                f"its keys are {', '.join(part.group_by.keys)}; write LEFT: KEY",
            )
    selects = join.left.query.selects
    if selects is None:
        return
    for key in part.group_by.keys:
        name = mapping.get(key, key)
        if name not in selects:
            yield Problem(
                f"the left side selects no {name}, a key of {_label(part.group_by)}",
                part.place,
                did_you_mean(name, selects) or f"select it, or write key_mapping={{...: {key!r}}}",
            )


def _external_problems(join: Join, part: ExternalPart) -> Iterator[Problem]:
    source = part.source
    yield from name_problems(source.name, "source", source.place)
    if not source.value_fields:
        yield Problem(f"{source.name} has no fields", source.place, "name its value_fields")
    for name, _ in (*source.key_fields, *source.value_fields):
        yield from name_problems(name, "field", source.place)
    keys = {name for name, _ in source.key_fields}
    for right in (part.key_mapping or {}).values():
        if right not in keys:
            yield Problem(
                f"key_mapping names {right}, which is no field of {source.name}",
                part.place,
                f"its fields are {', '.join(sorted(keys))}; write LEFT: FIELD",
            )
    offline = getattr(source, "offline_group_by", None)
    if offline is not None and set(offline.keys) != keys:
        yield Problem(
            f"{source.name} and {_label(offline)} have different keys",
            source.place,
            "the features that are backfilled must have the keys of the service",
        )


def _bootstrap_problems(join: Join) -> Iterator[Problem]:
    for part in join.bootstrap_parts or ():
        if not part.key_columns and not join.row_ids:
            yield Problem(
                f"no columns to match {part.table} on", part.place, "write row_ids or key_columns"
            )
        if part.query is not None:
            functions = functions_in(part.query.setups)
            selects = (part.query.selects or {}).values()
            yield from sql_problems("select", selects, part.query.place, functions)
            wheres = part.query.wheres or ()
            yield from sql_problems("where", wheres, part.query.place, functions)
    if join.bootstrap_from_log and not join.row_ids:
        yield Problem("bootstrap_from_log without row_ids", join.place, "name the columns of a row")


def _label_problems(join: Join) -> Iterator[Problem]:
    labels = join.label_part
    if labels is None:
        return
    if not join.left.is_events:
        yield Problem("the left of a label join must be events", join.left.place)
    if not labels.left_start_offset >= labels.left_end_offset >= 0:
        yield Problem(
            f"labels of the days {labels.left_start_offset} to {labels.left_end_offset} before",
            labels.place,
            "left_start_offset is the greater",
        )
    for part in labels.labels:
        yield from _key_problems(join, part)
        if part.group_by.aggregations is not None:
            yield from _aggregated_label_problems(join, part)


def _aggregated_label_problems(join: Join, part: JoinPart) -> Iterator[Problem]:
    labels, group_by = join.label_part, part.group_by
    assert labels is not None  # noqa: S101 - the part is one of its labels
    if not group_by.is_events:
        yield Problem(
            f"aggregated labels must come from events, and {_label(group_by)} has entities",
            part.place,
        )
    windows = [window for entry in group_by.aggregations or () for window in entry.windows or ()]
    if len(windows) != 1:
        yield Problem(
            f"aggregated labels have one window only, and {_label(group_by)} has {len(windows)}",
            part.place,
            "make a group-by of each window",
        )
        return
    days = windows[0].hours / 24
    if not labels.left_start_offset == labels.left_end_offset == days:
        yield Problem(
            f"the window of {_label(group_by)} has {days:g} days, and the labels are of the days "
            f"{labels.left_start_offset} to {labels.left_end_offset} before",
            labels.place,
            f"write {days:g} for left_start_offset and left_end_offset",
        )


def _derivation_problems(join: Join, columns: tuple[str, ...]) -> Iterator[Problem]:
    external = join.online_external_parts or ()
    fields = [name for part in external for name, _ in part.source.key_fields]
    selects = join.left.query.selects
    allowed = [*columns, *fields, *(selects or ()), TIME_COLUMN, PARTITION_COLUMN]
    derivations = join.derivations or ()
    if selects is None:
        # All columns of the left table are there, and their names are allowed when it is read.
        allowed += [name for d in derivations for name in _columns_or_none(d)]
    yield from derivation_problems(derivations, allowed, ())


def _columns_or_none(derivation: Derivation) -> tuple[str, ...]:
    try:
        return columns_in(derivation.expression)
    except ConfigError:
        return ()  # reported where the expression is checked


def _label(group_by: GroupBy) -> str:
    return f"the group-by {group_by.name or '(without a name)'}"
