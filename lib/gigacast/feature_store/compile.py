"""Compilation: definitions of users' files are checked and stored as JSON, all or none."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gigacast.errors import ConfigError, PreconditionFailedError
from gigacast.feature_store.definition.check import find_circle, find_problems, find_warnings
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import changed_fields, encode
from gigacast.feature_store.definition.name import (
    Definition,
    columns_of,
    kind_of,
    name_of,
    table_names,
)
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.definition.problem import Problem, refusal
from gigacast.feature_store.repository import Repository, open_repository, read_definitions
from gigacast.feature_store.stored import (
    StoredDefinition,
    key_of,
    label_of,
    read_stored,
    stored_joins,
)
from gigacast.feature_store.table import Tables
from gigacast.feature_store.type_check import find_type_problems, missing_notes, read_schemas
from gigacast.storage.store import Store


@dataclass(frozen=True)
class Compiled:
    """A definition that was compiled.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    key : str
        Key of its JSON.
    state : str
        ``new``, ``changed`` or ``unchanged``.
    changes : tuple of str
        Fields that decide values and differ from the compiled form before.
    was_online : bool
        Whether the compiled form before is online.
    """

    definition: Definition
    key: str
    state: str
    changes: tuple[str, ...] = ()
    was_online: bool = False


@dataclass(frozen=True)
class Compilation:
    """Result of a compilation.

    Parameters
    ----------
    compiled : tuple of Compiled
    warnings : tuple of Problem
    """

    compiled: tuple[Compiled, ...]
    warnings: tuple[Problem, ...] = field(default=())


def compile_definitions(
    path: Path, store: Store, *, force: bool = False, tables: Tables | None = None
) -> Compilation:
    """Check the definitions of a file or folder, and store them as JSON.

    The files are Python programs and run with all rights of the process. With a join its online
    group-bys are written, and those with a date from which to backfill.

    Parameters
    ----------
    path : Path
        File of definitions, or a folder of files.
    store : Store
        Store that holds ``feature_store/``.
    force : bool
        Whether definitions that are online, or that others use, may change.
    tables : Tables, optional
        Tables whose columns and types the definitions must fit, as far as they have files; by
        default none is looked at.

    Raises
    ------
    DefinitionError
        If a definition is refused; nothing is written.
    ConfigError
        If a file cannot be run, or another compilation wrote at the same time.
    """
    repository = open_repository(path)
    definitions = _with_parts(read_definitions(repository, path))
    problems = [*_problems(definitions)]
    _refuse(repository, problems)
    notes = _check_tables(repository, definitions, tables)
    stored = {key_of(d): read_stored(store, key_of(d)) for d in definitions}
    compiled = [_compare(definition, stored[key_of(definition)]) for definition in definitions]
    joins = _other_joins(store, compiled)
    if not force:
        changes = [problem for entry in compiled for problem in _change_problems(entry, joins)]
        _refuse(repository, changes)
    for entry in compiled:
        content = _content(repository, entry.definition)
        entry_before = stored[entry.key]
        if entry_before is None or entry_before.content != content:
            _write(store, entry.key, content, entry_before)
    warnings = [w for definition in definitions for w in find_warnings(definition)]
    warnings += [w for definition in definitions for w in _deprecations(definition, joins)]
    return Compilation(tuple(compiled), tuple(_placed(repository, [*warnings, *notes])))


def _check_tables(
    repository: Repository, definitions: Sequence[Definition], tables: Tables | None
) -> list[Problem]:
    """Check definitions against their tables, and return notes on those that have no files.

    Raises
    ------
    DefinitionError
    """
    notes: list[Problem] = []
    for definition in definitions:
        if tables is None or not isinstance(definition, GroupBy | Join):
            continue
        schemas, missing = read_schemas(definition, tables)
        _refuse(repository, find_type_problems(definition, schemas))
        if not schemas:
            continue
        notes += missing_notes(definition, missing)
    return notes


def _with_parts(definitions: Sequence[Definition]) -> list[Definition]:
    """Return definitions and the group-bys to be written with them; group-bys first, joins last."""
    # A join is written after the group-bys in it: a reader who finds it finds them, too.
    parts = [
        group_by
        for definition in definitions
        if isinstance(definition, Join)
        for group_by in definition.group_bys
        if group_by.online or group_by.backfill_start_date
    ]
    unique = {id(d): d for d in [*definitions, *parts]}
    return sorted(unique.values(), key=lambda d: (isinstance(d, Join), label_of(d)))


def _problems(definitions: Sequence[Definition]) -> Iterable[Problem]:
    """Yield the problems of definitions, each once, and those between them."""
    problems = [problem for definition in definitions for problem in find_problems(definition)]
    yield from dict.fromkeys(problems)
    keys = Counter(key_of(definition) for definition in definitions)
    for definition in definitions:
        if keys.pop(key_of(definition), 1) > 1:
            yield Problem(
                "the name is used twice",
                definition.place,
                "give each definition a name of its own",
                _label(definition),
            )
    if not problems and (circle := find_circle(definitions)):
        yield circle


def _compare(definition: Definition, before: StoredDefinition | None) -> Compiled:
    key = key_of(definition)
    if before is None:
        return Compiled(definition, key, "new")
    changes = changed_fields(before.definition, definition)
    same = before.definition == definition
    state = "unchanged" if same else "changed"
    return Compiled(definition, key, state, changes, bool(before.definition.online))


def _other_joins(store: Store, compiled: Sequence[Compiled]) -> list[Join]:
    """Return the stored joins that are not compiled now, if one of them could matter."""
    matters = [
        entry
        for entry in compiled
        if isinstance(entry.definition, GroupBy)
        and (entry.changes or entry.definition.deprecation_date)
    ]
    if not matters:
        return []
    keys = {entry.key for entry in compiled}
    return [j for j in stored_joins(store) if isinstance(j, Join) and key_of(j) not in keys]


def _change_problems(entry: Compiled, joins: Sequence[Join]) -> Iterable[Problem]:
    """Yield the reasons not to replace a stored definition by another."""
    definition = entry.definition
    if entry.was_online and not definition.online:
        yield Problem(
            "is online and would no longer be",
            definition.place,
            "compile with --force to take it offline",
            _label(definition),
        )
    if not entry.changes:
        return
    fields = ", ".join(entry.changes)
    if entry.was_online:
        yield Problem(
            f"is online and would change: {fields}",
            definition.place,
            "give it another name, or compile with --force",
            _label(definition),
        )
    users = _users(definition, joins)
    if users:
        yield Problem(
            f"would change ({fields}) and is used by {', '.join(users)}",
            definition.place,
            "compile these joins, too, or compile with --force",
            _label(definition),
        )


def _users(definition: Definition, joins: Sequence[Join]) -> list[str]:
    """Return the names of joins that use a group-by."""
    name = name_of(definition)
    return sorted(
        name_of(join)
        for join in joins
        if isinstance(definition, GroupBy) and any(g.name == name for g in join.group_bys)
    )


def _deprecations(definition: Definition, joins: Sequence[Join]) -> Iterable[Problem]:
    """Yield a warning about a group-by that is deprecated and that stored joins use."""
    users = _users(definition, joins) if definition.deprecation_date else []
    if users:
        yield Problem(
            f"is deprecated from {definition.deprecation_date} on and used by {', '.join(users)}",
            definition.place,
            "move these joins to another group-by",
            _label(definition),
        )


def _content(repository: Repository, definition: Definition) -> bytes:
    facts = {
        "file": repository.short_path(definition.place.file),
        "columns": list(columns_of(definition)),
        "tables": list(table_names(definition)),
    }
    return encode(definition, facts, repository.short_path)


def _write(store: Store, key: str, content: bytes, before: StoredDefinition | None) -> None:
    try:
        if before is None:
            store.put_if_absent(key, content)
        else:
            store.put_if_match(key, content, before.etag)
    except PreconditionFailedError as error:
        raise ConfigError(
            f"{key}: was written by another compilation at the same time", hint="compile again"
        ) from error


def _refuse(repository: Repository, problems: Iterable[Problem]) -> None:
    placed = _placed(repository, problems)
    if placed:
        raise refusal(placed)


def _placed(repository: Repository, problems: Iterable[Problem]) -> list[Problem]:
    """Return problems with their files' paths below the repository."""
    return [
        replace(p, place=Place(repository.short_path(p.place.file), p.place.line)) for p in problems
    ]


def _label(definition: Definition) -> str:
    return f"{kind_of(definition)} {name_of(definition)}"


if __name__ == "__main__":
    # Imported here because only the command line of Chronon's compile.py needs it.
    from gigacast.feature_store.run import COMPILE, main

    main(["--mode", COMPILE, *sys.argv[1:]])
