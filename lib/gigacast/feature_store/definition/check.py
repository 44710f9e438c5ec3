"""Checks of definitions: every reason to refuse one, with its place and a hint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.check_group_by import group_by_problems, group_by_warnings
from gigacast.feature_store.definition.check_join import join_problems, join_warnings
from gigacast.feature_store.definition.check_online import online_problems
from gigacast.feature_store.definition.dialect import check_sql, functions_in
from gigacast.feature_store.definition.expression import tables_in
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import (
    Definition,
    is_name,
    kind_of,
    name_of,
    table_name,
    table_names,
)
from gigacast.feature_store.definition.problem import Problem, date_problems, refusal
from gigacast.feature_store.definition.source import Source, split_table
from gigacast.feature_store.definition.staging_query import StagingQuery, names_days_of_a_run


def check(definition: Definition) -> None:
    """Check a definition, and the group-bys and joins in it.

    Raises
    ------
    DefinitionError
        If there is a reason to refuse it; the error has all reasons.
    """
    problems = find_problems(definition)
    if problems:
        raise refusal(problems)


def find_problems(definition: Definition) -> list[Problem]:
    """Return the reasons to refuse a definition, those of the definitions in it included."""
    return [
        replace(problem, definition=_label(part))
        for part in _parts(definition)
        for problem in _own_problems(part)
    ]


def find_warnings(definition: Definition) -> list[Problem]:
    """Return what a person should know about a definition that is not refused."""
    if isinstance(definition, StagingQuery):
        return []
    warnings = (
        group_by_warnings(definition)
        if isinstance(definition, GroupBy)
        else join_warnings(definition)
    )
    return [replace(warning, definition=_label(definition)) for warning in warnings]


def find_circle(definitions: Sequence[Definition]) -> Problem | None:
    """Return the problem of definitions that need each other's tables; None without a circle."""
    writers = {name: d for d in definitions for name in table_names(d)}
    needs = {
        name_of(d): sorted({name_of(writers[t]) for t in tables_of(d) if t in writers})
        for d in definitions
    }
    path = _find_circle(needs)
    if path is None:
        return None
    first = next(d for d in definitions if name_of(d) == path[0])
    return Problem(
        f"needs its own output: {' reads '.join(path)}",
        first.place,
        "read a table that is there before",
        _label(first),
    )


def tables_of(definition: Definition) -> tuple[str, ...]:
    """Return the names of the tables that a definition reads, without their sub-partitions."""
    if isinstance(definition, StagingQuery):
        return tables_in(definition.query)
    tables = [table for source in sources_of(definition) for table in source.tables]
    if isinstance(definition, Join):
        tables += [part.table for part in definition.bootstrap_parts or ()]
    return tuple(dict.fromkeys(split_table(table)[0] for table in tables))


def sources_of(definition: GroupBy | Join) -> tuple[Source, ...]:
    """Return all sources that a definition reads, those of its parents included."""
    if isinstance(definition, Join):
        parts = [s for group_by in definition.group_bys for s in sources_of(group_by)]
        return (definition.left, *parts)
    sources: list[Source] = []
    for source in definition.sources:
        parent = source.joinSource.join if source.joinSource else None
        sources += sources_of(parent) if isinstance(parent, Join) else (source,)
    return tuple(sources)


def _parts(definition: Definition) -> Iterator[Definition]:
    """Yield a definition after those in it, each once."""
    seen: dict[int, Definition] = {}

    def visit(part: Definition) -> None:
        if id(part) in seen:
            return
        if isinstance(part, Join):
            for group_by in part.group_bys:
                visit(group_by)
        elif isinstance(part, GroupBy):
            for source in part.sources:
                if source.joinSource and isinstance(source.joinSource.join, Join):
                    visit(source.joinSource.join)
        seen[id(part)] = part

    visit(definition)
    yield from seen.values()


def _own_problems(definition: Definition) -> Iterator[Problem]:
    if definition.name is not None and not is_name(definition.name):
        yield Problem(
            f"{definition.name[:80]!r} is no name",
            definition.place,
            "use letters, digits and underscores with dots between, as team.file.v1",
        )
        return
    if isinstance(definition, GroupBy):
        yield from group_by_problems(definition)
    elif isinstance(definition, Join):
        yield from join_problems(definition)
    else:
        yield from _staging_problems(definition)
    if isinstance(definition, GroupBy | Join):
        yield from online_problems(definition)


def _staging_problems(query: StagingQuery) -> Iterator[Problem]:
    dates = [(name, getattr(query, name)) for name in ("startPartition", "deprecation_date")]
    yield from date_problems(dates, query.place)
    if query.createView and names_days_of_a_run(query.query):
        yield Problem(
            "a view has no days of a run, so {{start_date}} and {{end_date}} have no value",
            query.place,
            "leave out createView, or use {{latest_date}} or {{max_date(table=...)}}",
        )
    try:
        check_sql(query.query, functions_in(query.setups), is_query=True)
    except ConfigError as error:
        hint = error.hint or "write a query of Spark SQL"
        yield Problem(f"query: {error.message}", query.place, hint)
        return
    if query.name is not None and table_name(query) in tables_in(query.query):
        yield Problem(f"reads its own output, {table_name(query)}", query.place)


def _find_circle(needs: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return a path that ends where it begins; None if there is none."""
    finished: set[str] = set()

    def follow(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return None
        for following in needs[name]:
            circle = follow(following, [*path, name])
            if circle:
                return circle
        finished.add(name)
        return None

    return next((circle for name in needs if (circle := follow(name, []))), None)


def _label(definition: Definition) -> str:
    return f"{kind_of(definition)} {definition.name or ''}".strip()
