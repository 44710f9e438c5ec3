"""Lookups of a join: the keys of its parts, and one wide answer of theirs."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gigacast.errors import (
    DataNotFoundError,
    GigacastError,
    MomentNotServedError,
    SchemaError,
    StorageError,
)
from gigacast.feature_store.definition.closure import Function, make_function
from gigacast.feature_store.definition.join import ContextualSource, ExternalPart, Join, JoinPart
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    TIME_COLUMN,
    column_name,
    computed_columns,
    external_columns,
    group_by_columns,
    name_of,
    part_name,
    skew_filter,
)
from gigacast.feature_store.definition.number_kind import NumberKind, field_kind
from gigacast.feature_store.online.lookup import NO_KINDS, Answer, Derived

Service = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
"""Client of an external source: keys of several requests in, values of as many out."""


@dataclass(frozen=True)
class PartLookup:
    """A part of a join.

    Parameters
    ----------
    name : str
        Start of its columns.
    group_by_name : str
    digest : str
        Digest that its group-by must have.
    mapping : tuple of (str, str)
        Names of each key in the request and in the group-by.
    columns : tuple of str
        Names of its features in the group-by.
    skew : function, optional
        Whether a row gets features of the part; null counts as yes.
    """

    name: str
    group_by_name: str
    digest: str
    mapping: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    skew: Function | None = None

    @cached_property
    def wide_names(self) -> dict[str, str]:
        """Names of the features in the join by those in the group-by."""
        return {name: f"{self.name}_{name}" for name in self.columns}

    @classmethod
    def of(cls, join: Join, part: JoinPart) -> "PartLookup":
        """Return the lookup of a join's part."""
        group_by = part.group_by
        names = {right: name for name, right in (part.key_mapping or {}).items()}
        condition = skew_filter(join, part)
        return cls(
            part_name(part),
            name_of(group_by),
            semantic_digest(group_by),
            tuple((names.get(key, key), key) for key in group_by.keys),
            group_by_columns(group_by),
            make_function(condition) if condition else None,
        )

    def keys_of(self, request: Mapping[str, Any]) -> dict[str, Any] | GigacastError:
        """Return the keys of the group-by, or why there are none. Skewed keys count as null."""
        try:
            keys = {right: request[name] for name, right in self.mapping}
        except KeyError as error:
            return SchemaError(
                f"the request has no key {error.args[0]}",
                hint=f"{self.name} needs {', '.join(name for name, _ in self.mapping)}",
            )
        if self.skew is not None and self.skew(keys) is False:
            return dict.fromkeys(keys)
        return keys


def code_of(error: GigacastError) -> str:
    """Return the reason of an error in a word, for programs."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


_CODES: tuple[tuple[type[GigacastError], str], ...] = (
    (MomentNotServedError, "moment_not_served"),
    (DataNotFoundError, "not_found"),
    (SchemaError, "invalid_key"),
    (StorageError, "store_unavailable"),
    (GigacastError, "failed"),
)


class JoinLookup:
    """A served join, ready for requests.

    Parameters
    ----------
    join : Join

    Raises
    ------
    ConfigError
        If a derivation cannot be computed for single rows.
    """

    def __init__(self, join: Join) -> None:
        self.join = join
        self.parts = tuple(PartLookup.of(join, part) for part in join.right_parts)
        self.external = tuple(join.online_external_parts or ())
        self._columns = computed_columns(join)
        # By the kinds of the columns that the parts' answers have: one pair, so that threads see
        # both or none.
        self._derived: tuple[list[Mapping[str, NumberKind]], Derived] | None = None
        if join.derivations:
            self._derived = ([], Derived(self._columns, join.derivations))

    @property
    def group_by_names(self) -> tuple[str, ...]:
        """Names of the group-bys."""
        return tuple(part.group_by_name for part in self.parts)

    @property
    def name(self) -> str:
        """Name of the join."""
        return name_of(self.join)

    @cached_property
    def definition(self) -> str:
        """Digest of what decides the join's features."""
        return semantic_digest(self.join)

    @property
    def log_share(self) -> float:
        """Share of the answers that are logged, of those that a log samples."""
        return self.join.sample_percent / 100

    def batch_ends(self, answers: Sequence[Answer | GigacastError]) -> dict[str, int]:
        """Return the ends of the batches that answered, by part."""
        return {
            part.name: answer.at - answer.batch_age_ms
            for part, answer in zip(self.parts, answers, strict=True)
            if isinstance(answer, Answer)
        }

    def _derive(self, answers: Sequence[Answer | GigacastError]) -> Derived:
        """Return the derivations over columns of the kinds that the parts' answers have."""
        assert self._derived is not None  # noqa: S101 - the caller has seen it
        kinds = [a.kinds if isinstance(a, Answer) else NO_KINDS for a in answers]
        before, derived = self._derived
        # The same objects until a part is uploaded anew.
        if len(before) != len(kinds) or not all(map(operator.is_, before, kinds)):
            wide = _wide_kinds(self.join, self.parts, kinds)
            derived = Derived(self._columns, self.join.derivations or (), wide)
            self._derived = (kinds, derived)
        return derived

    def ask(
        self, keys: Sequence[Mapping[str, Any]], services: Mapping[str, Service]
    ) -> dict[str, list[Mapping[str, Any] | str]]:
        """Return the answers of the external parts to several requests, or messages, by part."""
        return {
            external_name(part): [_brought(part, mine) for mine in keys]
            if isinstance(part.source, ContextualSource)
            else _asked(part, keys, services.get(part.source.name))
            for part in self.external
        }

    def assemble(
        self,
        keys: Mapping[str, Any],
        at: int,
        answers: Sequence[Answer | GigacastError],
        external: Mapping[str, Mapping[str, Any] | str],
    ) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
        """Return the wide answer, and the messages and codes of parts that failed.

        Parameters
        ----------
        keys : mapping
            Keys of the request.
        at : int
        answers : sequence of Answer or GigacastError
            Answers of the parts, in their order.
        external : mapping
            Answers of external parts, or messages, by name.
        """
        values: dict[str, Any] = {}
        errors: dict[str, str] = {}
        codes: dict[str, str] = {}
        for part, answer in zip(self.parts, answers, strict=True):
            if isinstance(answer, GigacastError):
                # Without its columns: a derivation of nulls would be a wrong answer.
                errors[part.name], codes[part.name] = str(answer), code_of(answer)
            else:
                features, names = answer.features, part.wide_names
                values.update(zip(map(names.__getitem__, features), features.values(), strict=True))
        for outside in self.external:
            name = external_name(outside)
            outcome = external.get(name, "was not asked")
            columns = external_columns(outside)
            if isinstance(outcome, str):
                errors[name] = outcome
                is_contextual = isinstance(outside.source, ContextualSource)
                codes[name] = "invalid_key" if is_contextual else "external_failed"
            else:
                fields = [field for field, _ in outside.source.value_fields]
                values |= {c: outcome.get(f) for c, f in zip(columns, fields, strict=True)}
        if self._derived is not None:
            row = {TIME_COLUMN: at, **keys, **values}
            values, faults = self._derive(answers).compute(row)
            if faults:
                errors["derivation"], codes["derivation"] = "; ".join(faults), "derivation_failed"
        values |= {f"{name}_exception": message for name, message in errors.items()}
        return values, errors, codes


def _wide_kinds(
    join: Join, parts: Sequence["PartLookup"], kinds: Sequence[Mapping[str, NumberKind]]
) -> dict[str, NumberKind]:
    """Return the kinds of the numbers of a join's columns, as far as known."""
    kinds_by_name: dict[str, NumberKind] = {TIME_COLUMN: "int64"}
    for part, own in zip(parts, kinds, strict=True):
        kinds_by_name |= {wide: own[name] for name, wide in part.wide_names.items() if name in own}
    for outside in join.online_external_parts or ():
        words = [word for _, word in outside.source.value_fields]
        for name, word in zip(external_columns(outside), words, strict=True):
            if kind := field_kind(word):
                kinds_by_name[name] = kind
    return kinds_by_name


def external_name(part: ExternalPart) -> str:
    """Return the start of an external part's columns."""
    prefix = f"{part.prefix}_" if part.prefix else ""
    return f"ext_{prefix}{column_name(part.source.name)}"


def _names_of(part: ExternalPart) -> list[tuple[str, str]]:
    """Return the names of each key field in the request and in the source."""
    names = {right: name for name, right in (part.key_mapping or {}).items()}
    return [(names.get(field, field), field) for field, _ in part.source.key_fields]


def _brought(part: ExternalPart, keys: Mapping[str, Any]) -> Mapping[str, Any] | str:
    missing = [name for name, _ in _names_of(part) if name not in keys]
    if missing:
        return f"the request has no field {missing[0]}"
    return {field: keys[name] for name, field in _names_of(part)}


def _asked(
    part: ExternalPart, keys: Sequence[Mapping[str, Any]], service: Service | None
) -> list[Mapping[str, Any] | str]:
    if service is None:
        return [f"no client of the external source {part.source.name} is given"] * len(keys)
    names = _names_of(part)
    complete = [n for n, mine in enumerate(keys) if all(name in mine for name, _ in names)]
    questions = [{field: keys[n][name] for name, field in names} for n in complete]
    answers: list[Mapping[str, Any] | str] = ["the request lacks one of its keys"] * len(keys)
    try:
        answer: list[Mapping[str, Any] | str] = [*service(questions)] if questions else []
    except Exception as error:  # whatever the client of a user raises
        answer = [f"{type(error).__name__}: {error}"] * len(complete)
    if len(answer) != len(complete):
        answer = [f"answered {len(answer)} of {len(complete)} requests"] * len(complete)
    for place, value in zip(complete, answer, strict=True):
        answers[place] = value
    return answers
