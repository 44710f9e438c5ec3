"""Folders of users' definitions: their Python files run, and each definition gets its name.

A repository has the folders ``group_bys``, ``joins`` and ``staging_queries``, in them a folder for
each team, and may have a ``teams.json`` with the teams' settings. Definition files are programs:
they run with all rights of the person who compiles them.
"""

import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from gigacast.core.problem import Source as Origin
from gigacast.core.problem import did_you_mean
from gigacast.core.record import decode_json
from gigacast.errors import ConfigError, GigacastError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import ExternalSource, Join, JoinPart
from gigacast.feature_store.definition.name import FOLDERS, Definition, name_of, team_of
from gigacast.feature_store.definition.source import JoinSource, Source
from gigacast.feature_store.definition.staging_query import StagingQuery

TEAMS_FILE = "teams.json"
_DEFAULT = "default"
_importing = Lock()  # files are imported as modules, of which Python has one table


@dataclass(frozen=True)
class Repository:
    """A folder of definitions.

    Parameters
    ----------
    root : Path
        Folder that holds ``group_bys``, ``joins`` and ``staging_queries``, or a single file.
    teams : mapping, optional
        Settings by team, from ``teams.json``; None without that file.
    has_folders : bool
        Whether names come from folders; else every definition has a ``name=`` of its own.
    """

    root: Path
    teams: Mapping[str, Mapping[str, Any]] | None
    has_folders: bool

    def short_path(self, file: str) -> str:
        """Return the path of a file below the root, and the name of any other file."""
        path = Path(file)
        # Where a person keeps a file elsewhere is nobody's business who reads the bucket.
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name
        )


def open_repository(path: Path) -> Repository:
    """Return the repository that a file or folder is in.

    Raises
    ------
    ConfigError
        If there is no such file or folder, or ``teams.json`` is wrong.
    """
    path = path.resolve()
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder", hint="name a file of definitions")
    folder = path if path.is_dir() else path.parent
    for root in (folder, *folder.parents):
        if (root / TEAMS_FILE).is_file() or _is_root_of(root, path):
            return Repository(root, _read_teams(root / TEAMS_FILE), has_folders=True)
    return Repository(folder, None, has_folders=False)


def read_definitions(repository: Repository, path: Path) -> list[Definition]:
    """Return the definitions of a file or folder, each with its name and its team's settings.

    Raises
    ------
    ConfigError
        If a file cannot be run, or a definition has no name.
    """
    path = path.resolve()
    files = [path] if path.is_file() else _files_below(repository, path)
    with _importing, _imported(repository, files) as modules:
        names = _Names(repository, modules)
        chosen = {str(file) for file in files}
        own = [d for d in names.definitions() if names.home_of(d) in chosen]
    if not own:
        raise ConfigError(
            f"{path}: no definitions",
            hint="assign a GroupBy, Join or StagingQuery to a variable of the file",
        )
    production = {id(p.group_by) for d in own if isinstance(d, Join) and d.production
                  for p in d.right_parts if p.group_by.production is None}  # fmt: skip
    naming = _Naming(names, production)
    return [naming.named(definition) for definition in own]


class _Names:
    """Names of the definitions in modules.

    Parameters
    ----------
    repository : Repository
    modules : sequence of ModuleType
        Modules that were imported from the repository.
    """

    def __init__(self, repository: Repository, modules: Sequence[ModuleType]) -> None:
        self._repository = repository
        self._homes: dict[int, tuple[tuple[bool, bool], str, str]] = {}
        self._values: dict[int, Definition] = {}
        for module in modules:
            for variable, value in vars(module).items():
                if isinstance(value, GroupBy | Join | StagingQuery):
                    self._add(value, variable, module)

    @property
    def teams(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Settings by team."""
        return self._repository.teams

    def definitions(self) -> list[Definition]:
        """Return all definitions in the order of their modules."""
        return list(self._values.values())

    def home_of(self, definition: Definition) -> str:
        """Return the file that a definition belongs to."""
        return self._homes[id(definition)][1]

    def name_of(self, definition: Definition) -> str:
        """Return the name of a definition: its own, or that of file and variable.

        Raises
        ------
        ConfigError
        """
        if definition.name is not None:
            return definition.name
        kind = type(definition).__name__
        home = self._homes.get(id(definition))
        place = self._repository.short_path(definition.place.file)
        if home is None or not home[2]:
            raise ConfigError(
                f"{place}:{definition.place.line}: {kind} has no name",
                hint=f"assign it to a variable of a file in {FOLDERS[type(definition)]}/TEAM/, or "
                "give name='team.name'",
            )
        return home[2]

    def _add(self, definition: Definition, variable: str, module: ModuleType) -> None:
        """Note a variable, if it is a better home of the definition than those before."""
        file = str(module.__file__)
        folder, *parts = module.__name__.split(".")
        in_folder = self._repository.has_folders and folder in FOLDERS.values() and parts
        name = ".".join([*parts, variable]) if in_folder else ""
        # A definition is imported into other files, too: the folder of its kind and the file that
        # it was written in decide.
        rank = (folder == FOLDERS[type(definition)], definition.place.file == file)
        former = self._homes.get(id(definition))
        if former is None or rank > former[0]:
            self._homes[id(definition)] = (rank, file, name)
        self._values.setdefault(id(definition), definition)


class _Naming:
    """Gives definitions, and those in them, their names and settings; each once.

    Parameters
    ----------
    names : _Names
    production : set of int
        Identities of group-bys that a join in production uses.
    """

    def __init__(self, names: _Names, production: set[int]) -> None:
        self._names = names
        self._production = production
        self._done: dict[int, Definition] = {}

    def named(self, definition: Any) -> Any:
        if id(definition) not in self._done:
            self._done[id(definition)] = self._make(definition)
        return self._done[id(definition)]

    def _make(self, definition: Definition) -> Definition:
        name = self._names.name_of(definition)
        settings = _settings(self._names.teams, team_of(name), definition)
        if isinstance(definition, GroupBy):
            sources = tuple(self._source(source) for source in definition.sources)
            in_production = id(definition) in self._production or definition.production
            return replace(
                definition, name=name, sources=sources, production=in_production, **settings
            )
        if isinstance(definition, StagingQuery):
            return replace(definition, name=name, **settings)
        parts = tuple(self._part(part) for part in definition.right_parts)
        labels = definition.label_part
        if labels is not None:
            labels = replace(labels, labels=tuple(self._part(part) for part in labels.labels))
        external = definition.online_external_parts
        if external is not None:
            external = tuple(self._external(part) for part in external)
        return replace(
            definition,
            name=name,
            left=self._source(definition.left),
            right_parts=parts,
            label_part=labels,
            online_external_parts=external,
            **settings,
        )

    def _part(self, part: JoinPart) -> JoinPart:
        return replace(part, group_by=self.named(part.group_by))

    def _source(self, source: Source) -> Source:
        if source.joinSource is None:
            return source
        parent: JoinSource = source.joinSource
        return replace(source, joinSource=replace(parent, join=self.named(parent.join)))

    def _external(self, part: Any) -> Any:
        service = part.source
        if not isinstance(service, ExternalSource) or service.offline_group_by is None:
            return part
        offline = self.named(service.offline_group_by)
        return replace(part, source=replace(service, offline_group_by=offline))


def _settings(
    teams: Mapping[str, Mapping[str, Any]] | None, team: str, definition: Definition
) -> dict[str, Any]:
    """Return the namespace, table properties and environment: defaults < team < definition.

    Raises
    ------
    ConfigError
        If ``teams.json`` does not have the team.
    """
    if teams is None:
        return {}
    if team not in teams:
        raise ConfigError(
            f"{_label(definition)}: {TEAMS_FILE} has no team {team!r}",
            hint=did_you_mean(team, teams) or f"add it to {TEAMS_FILE}",
        )
    layers = [teams.get(_DEFAULT, {}), teams[team]]
    namespaces = [layer.get("namespace") for layer in reversed(layers)]
    properties: dict[str, str] = {}
    for layer in layers:
        properties |= layer.get("table_properties") or {}
    properties |= definition.table_properties or {}
    namespace = definition.output_namespace or next(filter(None, namespaces), None)
    return {
        "output_namespace": namespace,
        "table_properties": properties or None,
        "env": _environment(layers, definition.env or {}) or None,
    }


def _environment(
    layers: Sequence[Mapping[str, Any]], own: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return variables by mode: common ones, those of the mode, then the definition's own."""
    modes = [layer.get("production") or {} for layer in layers]
    names = dict.fromkeys(name for values in (*modes, own) for name in values)
    common: dict[str, str] = {}
    for layer in layers:
        common |= layer.get("common_env") or {}
    merged = {}
    for name in names:
        values = dict(common)
        for mode in (*modes, own):
            values |= mode.get(name) or {}
        merged[name] = values
    return merged


def _label(definition: Definition) -> str:
    name = f" {name_of(definition)}" if definition.name else ""
    return f"{definition.place}: {type(definition).__name__}{name}"


def _is_root_of(root: Path, path: Path) -> bool:
    """Return whether a folder holds the definitions at a path, by its folders' names."""
    folders = set(FOLDERS.values())
    if path == root:
        return any((root / folder).is_dir() for folder in folders)
    return path.relative_to(root).parts[0] in folders


def _files_below(repository: Repository, folder: Path) -> list[Path]:
    if folder == repository.root and repository.has_folders:
        folders = [folder / name for name in FOLDERS.values()]
    else:
        folders = [folder]
    files = sorted(file for root in folders for file in root.rglob("*.py"))
    return [file for file in files if file.name != "__init__.py"]


def _read_teams(file: Path) -> Mapping[str, Mapping[str, Any]] | None:
    if not file.is_file():
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    teams = decode_json(content, Origin(str(file), ConfigError))
    if not isinstance(teams, dict) or not all(isinstance(team, dict) for team in teams.values()):
        raise ConfigError(f"{file}: expected settings by team", hint='as {"fraud": {}}')
    for team, values in teams.items():
        for name in ("table_properties", "common_env", "production"):
            if not isinstance(values.get(name) or {}, dict):
                raise ConfigError(f"{file}: {team}.{name}: expected values by name")
    return teams


@contextmanager
def _imported(repository: Repository, files: Sequence[Path]) -> Iterator[list[ModuleType]]:
    """Import files as modules of their repository, and forget them afterwards.

    The modules are those of the files, then others of the repository that these import.
    """
    _forget_modules(repository)
    writes_bytecode = sys.dont_write_bytecode
    # Compiling reads the folder of a person: it leaves no __pycache__ there.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(repository.root))
    try:
        importlib.invalidate_caches()
        # The files may print; stdout is for the command's own output, such as JSON.
        with redirect_stdout(sys.stderr):
            own = [_import_file(repository, file) for file in files]
        former_modules = [module for module in _modules_below(repository) if module not in own]
        yield [*own, *former_modules]
    finally:
        sys.path.remove(str(repository.root))
        sys.dont_write_bytecode = writes_bytecode
        _forget_modules(repository)


def _import_file(repository: Repository, file: Path) -> ModuleType:
    relative = file.relative_to(repository.root)
    parts = relative.with_suffix("").parts
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(
            f"{relative}: cannot be imported by that name",
            hint="use letters, digits and underscores in the names of files and folders",
        )
    try:
        return importlib.import_module(".".join(parts))
    except GigacastError as error:
        # The definition that is refused says its place itself.
        message = error.message.replace(f"{repository.root}/", "")
        raise ConfigError(message, hint=error.hint) from error
    except (Exception, SystemExit) as error:  # whatever the file of a user does
        raise ConfigError(
            f"{_fault_place(repository, file, error)}: {type(error).__name__}: {error}",
            hint="the file is a Python program: make it run",
        ) from error


def _fault_place(repository: Repository, file: Path, error: BaseException) -> str:
    """Return the place of the innermost line of the repository that an error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{repository.short_path(error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if Path(f.filename).is_relative_to(repository.root)]
    if not inside:
        return repository.short_path(str(file))
    return f"{repository.short_path(inside[-1].filename)}:{inside[-1].lineno}"


def _modules_below(repository: Repository) -> list[ModuleType]:
    modules = [module for _, module in sorted(sys.modules.items()) if module is not None]
    return [
        module
        for module in modules
        if (file := getattr(module, "__file__", None))
        and isinstance(file, str)
        and Path(file).is_relative_to(repository.root)
        and "site-packages" not in file
    ]


def _forget_modules(repository: Repository) -> None:
    """Remove the modules of a repository, and packages of its folders' names, from Python's table.

    A later compilation runs the files again, and other repositories have packages of these names.
    """
    files = {module.__name__ for module in _modules_below(repository)}
    for name in list(sys.modules):
        if name in files or name.partition(".")[0] in FOLDERS.values():
            del sys.modules[name]
