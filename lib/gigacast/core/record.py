"""Records read from JSON and YAML of unknown origin, which may be damaged.

`decode_json` and `decode_yaml` turn text into plain values, never nested deeper than `MAX_DEPTH`;
`read_record` checks plain values against the annotations of a dataclass and makes it. A problem is
raised as the error class that the `Source` names, with the file, the place (``columns[3].type``)
and the remedy, so that a damaged file never ends in a bare ``KeyError``, ``TypeError`` or
``RecursionError``.
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

from gigacast.core.form import checker_of, form_of
from gigacast.core.problem import FormError, Source

MAX_DEPTH = 64
"""Maximum levels of lists and mappings in a file. No record needs as many, and Python's limit of
recursion is far above it."""

MAX_CONTAINERS = 2_000_000
"""Maximum lists and mappings at one level of a file, since aliases in YAML can multiply them."""

MAX_ALIASED = 10_000_000
"""Characters that aliases in YAML may add to those of the file itself."""

_T = TypeVar("_T")


def read_record(
    kind: type[_T],
    values: Any,
    source: Source,
    *,
    place: str = "",
    required: Collection[str] = (),
    ignore_unknown: bool = False,
) -> _T:
    """Make a record from plain values.

    Parameters
    ----------
    kind : type
        A dataclass or named tuple; `core.form` names the annotations that are understood.
    values : object
        Plain values, as JSON or YAML gives them.
    source : Source
    place : str
        Place of the values within their file; its root by default.
    required : collection of str
        Keys that must be stored although the record has a default for them.
    ignore_unknown : bool
        Whether keys that the record does not have are left aside, so that files of later releases
        stay readable; refused by default. Records inside the record always refuse them.

    Raises
    ------
    GigacastError
        Of the source's class, when a key is missing or unknown, or a value has another type or is
        out of range.
    """
    try:
        form = form_of(cast("Any", kind))
        record: _T = form.make(values, required=required, ignore_unknown=ignore_unknown)
    except FormError as problem:
        raise source.refuse(problem.reason, problem.place(place), problem.hint) from problem
    return record


def read_value(annotation: Any, value: Any, source: Source, *, place: str = "") -> Any:
    """Return a plain value, checked against an annotation and converted to it.

    Raises
    ------
    GigacastError
        Of the source's class, when the value does not fit.
    """
    try:
        return checker_of(annotation)(value)
    except FormError as problem:
        raise source.refuse(problem.reason, problem.place(place), problem.hint) from problem


def plain_fields(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, tuples as lists."""
    values = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if getattr(record, field.name) != field.default
    }
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


# -- text to plain values --------------------------------------------------------------------------


def parse_json(text: str, make: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the plain values of JSON that holds data, however much of it; see `decode_json`.

    Parameters
    ----------
    text : str
    make : callable, optional
        Makes an object of its pairs of name and value; ``dict`` by default.

    Raises
    ------
    ValueError
        When the text is not JSON or nested too deep for Python.
    """
    try:
        return json.loads(text, object_pairs_hook=make)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def decode_json(content: bytes | str, source: Source) -> Any:
    """Return the plain values of JSON.

    Raises
    ------
    GigacastError
        Of the source's class, when the content is not JSON or nested too deep.
    """
    try:
        # json.loads would let bytes through that are not UTF-8 (lone surrogates).
        encoding = json.detect_encoding(content) if isinstance(content, bytes) else ""
        text = content.decode(encoding) if isinstance(content, bytes) else content
        values = parse_json(text)
        if "\\u" in text:
            json.dumps(values, ensure_ascii=False).encode()  # refuses surrogates without a pair
    except ValueError as error:
        reason = _TOO_DEEP if str(error) == _TOO_DEEP else f"not JSON: {error}"
        raise source.refuse(reason) from error
    # A file with fewer brackets cannot be too deep. Counting them is much faster than the walk.
    if text.count("{") + text.count("[") > MAX_DEPTH:
        check_size(values, source)
    return values


def decode_yaml(content: bytes | str, source: Source) -> Any:
    """Return the plain values of YAML or JSON; tags that construct Python objects are refused.

    Raises
    ------
    GigacastError
        Of the source's class, when the content is not YAML, nested too deep or multiplied by
        aliases.
    """
    import yaml  # noqa: PLC0415 - workers read JSON only, and start without it

    loader = None
    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        # Before anything is constructed: merge keys multiply already while they are read.
        _check_aliases(node, len(content), source)
        values = None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise source.refuse(_TOO_DEEP) from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # The library raises the latter for malformed scalars: `!!timestamp x`, `!!int ''`.
        raise source.refuse(f"not valid YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    check_size(values, source)
    return values


def _check_aliases(root: Any, length: int, source: Source) -> None:
    """Refuse YAML whose aliases multiply its text: a few lines may stand for terabytes.

    Parameters
    ----------
    root : yaml.Node or None
        Nodes as composed: an alias is its anchor's node once more.
    length : int
        Length of the file.
    source : Source
    """
    sizes: dict[int, int] = {}
    stack = [root] if root is not None else []
    while stack:
        node = stack[-1]
        if isinstance(node.value, str):
            sizes[id(node)] = len(node.value) + 1
        elif id(node) not in sizes:
            # Once before its children and once after them; 0 means that they are not summed yet.
            sizes[id(node)] = 0
            children = _children_of(node)
            if any(sizes.get(id(child)) == 0 and not _is_empty(child) for child in children):
                raise source.refuse("a list or mapping that contains itself")
            stack += [child for child in children if id(child) not in sizes]
            continue
        else:
            sizes[id(node)] = sum(sizes[id(child)] for child in _children_of(node))
            if sizes[id(node)] > MAX_ALIASED + 4 * length:
                raise source.refuse(f"aliases that multiply its text beyond {MAX_ALIASED:,}")
        stack.pop()


def _children_of(node: Any) -> list[Any]:
    # Items of a sequence are nodes, those of a mapping pairs of nodes.
    return [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]


def _is_empty(node: Any) -> bool:
    return not node.value


def encode_yaml(values: Any) -> str:
    """Return plain values as YAML, in their order."""
    import yaml  # noqa: PLC0415

    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def check_size(values: Any, source: Source) -> None:
    """Check that plain values keep within `MAX_DEPTH` and `MAX_CONTAINERS`.

    It goes level by level: a recursive check would fail on the depth that it has to report.

    Raises
    ------
    GigacastError
        Of the source's class.
    """
    level = [values] if isinstance(values, dict | list) else []
    for _ in range(MAX_DEPTH + 1):
        level = list(islice(_containers_in(level), MAX_CONTAINERS + 1))
        if not level:
            return
        if len(level) > MAX_CONTAINERS:
            raise source.refuse(f"more than {MAX_CONTAINERS:,} lists and mappings at one level")
    raise source.refuse(_TOO_DEEP)


def _containers_in(level: list[Any]) -> Iterator[Any]:
    for value in level:
        for child in value.values() if isinstance(value, dict) else value:
            if isinstance(child, dict | list):
                yield child
