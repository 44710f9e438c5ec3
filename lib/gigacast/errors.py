"""All errors of this package, as a tree.

::

    GigacastError                    everything this package raises on purpose
    ├── ConfigError                  a setting, flag or configuration file is wrong (exit code 2)
    │   └── DefinitionError          definitions of features are refused; has all problems
    ├── StorageError                 the object store refused or failed
    │   ├── BucketNotFoundError      the bucket or root folder does not exist
    │   ├── ObjectNotFoundError      no object under that key
    │   ├── PreconditionFailedError  If-Match / If-None-Match did not hold
    │   ├── AccessDeniedError        missing, unreadable or insufficient credentials
    │   └── TransientStorageError    throttled, timed out or cut short, after all retries
    │       ├── OutageError          the store did not answer for as long as a run waits
    │       └── UnknownSchemaError   a streamed record's schema is not in the store, or not yet
    ├── DataError                    an object's content cannot be used
    │   ├── DataNotFoundError        no data matches the request
    │   │   └── MomentNotServedError served features do not answer for the moment
    │   ├── InvalidFilenameError     a key does not match the naming pattern
    │   ├── CorruptedFileError       a file cannot be read in its format
    │   ├── DataQualityError         too much of the data is missing, duplicate or out of range
    │   ├── IncompleteContextError   too little history to forecast from
    │   ├── DatasetConflictError     a version exists, or is being published, with other content
    │   ├── DatasetIntegrityError    a dataset's files are not the ones in its manifest
    │   └── SchemaError              columns are missing, ambiguous or of an unusable type
    │       ├── TimeRangeError       a type of timestamps cannot hold the times
    │       ├── NumberRangeError     a type of numbers loses steps of the values
    │       └── SchemaMismatchError  rows break a contract; has all violations
    │           ├── MissingRequiredColumnError   a column required by the contract is missing
    │           ├── DataTypeValidationError      a column, or some of its values, has another type
    │           └── ContractViolationError       values break the contract's rules
    ├── ModelError                   a model cannot be found, verified or used
    │   ├── ModelNotFoundError       no model under that name, key or folder
    │   ├── ModelIntegrityError      the files do not match the model's digest
    │   ├── ModelConflictError       a version exists with other content, or another change won
    │   ├── ModelRejectedError       a version is not better than the active one
    │   └── UnsupportedForecastError levels, horizon or context that the model does not support
    ├── TaskError                    a partition could not be forecast; the run continues
    │   ├── InputChangedError        the input is no longer the object that was planned
    │   └── WorkerLostError          the process that ran the task died
    ├── ComputeError                 the service that runs tasks elsewhere refused or failed
    │   ├── ComputeAccessError       no credentials, or no permission for an action
    │   └── TransientComputeError    throttled or unreachable, after all retries
    ├── PlanError                    a run's plan changed, expired or cannot be read
    └── MissingExtraError            an optional dependency is not installed

Every message describes the fault and its place; ``hint`` says what to do about it. Both name
options as flags, which the command line prints. ``str(error)``, which Python prints, names them as
keywords.
"""

import re

_FLAG = re.compile(
    r"(?<![\w/.=-])--(?P<name>[a-z][a-z_0-9]*)(?![-\w])"
    r"(?:[ ](?P<value>'[^']*'|[\w/~][^\s`]*?)(?=[,;:.)]*(?:\s|$)))?"
)
_SWITCHES = frozenset(
    {
        *("calibrate", "deprecated", "if_better", "incremental", "joint_targets", "mean"),
        *("non_negative", "old_specs", "overwrite", "quick", "rolling", "switch", "unfinished"),
    }
)
"""Flags without a value."""
_NO_VALUES = frozenset(
    {
        *("and", "before", "both", "choose", "chooses", "cuts", "decides", "deletes", "describes"),
        *("does", "for", "gives", "has", "if", "in", "instead", "is", "lists", "makes", "must"),
        *("names", "needs", "of", "or", "out", "runs", "says", "sets", "shows", "so"),
        *("such", "than", "to", "too", "which", "with", "without", "writes"),
    }
)
"""Words after a flag that are not its value."""
_KEYWORDS = {"item": "items", "partition": "partitions"}
"""Keywords that are not spelt as their flag."""


def as_keywords(text: str) -> str:
    """Return a text whose flags are keywords: ``--freq W`` becomes ``freq="W"``.

    Commands, which are in backticks, stay.
    """
    parts = text.split("`")
    parts[::2] = [_FLAG.sub(_keyword, part) for part in parts[::2]]
    return "`".join(parts)


def _keyword(match: re.Match[str]) -> str:
    flag, value = match["name"], match["value"]
    name = _KEYWORDS.get(flag, flag)
    if flag in _SWITCHES or value is None or value in _NO_VALUES:
        ending = match.string[match.end("name") : match.end()]
        # What a message is about has no value: "freq: 'X' is no frequency".
        is_subject = match.start() == 0 or match.string.startswith(":", match.end("name"))
        return f"{name}{'' if is_subject else '=True' if flag in _SWITCHES else '='}{ending}"
    if value.isdecimal():
        return f"{name}={value}"
    return f"{name}={value}" if value.startswith("'") else f'{name}="{value}"'


class GigacastError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message : str
        Description of the fault and its place.
    hint : str, optional
        Advice on how to mend it, which the command line shows on a line of its own; none by
        default.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def text(self) -> str:
        """Message and hint, with options as flags."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __str__(self) -> str:
        hint = f" ({as_keywords(self.hint)})" if self.hint else ""
        return as_keywords(self.message) + hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors are pickled between processes, and by default pickling passes positional
        # arguments only.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[GigacastError], message: str, hint: str | None) -> GigacastError:
    return kind(message, hint=hint)


class ConfigError(GigacastError):
    """A setting, flag or configuration file is wrong; the message names the field."""


class DefinitionError(ConfigError):
    """Definitions of features are refused.

    Parameters
    ----------
    message : str
        Description of the first problem and its place.
    hint : str, optional
        Advice on how to mend it; none by default.
    problems : tuple of Problem
        All problems with definition, place and hint; see
        `gigacast.feature_store.definition.problem`.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, problems: tuple[object, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"problems": self.problems})


class StorageError(GigacastError):
    """The object store refused or failed."""


class BucketNotFoundError(StorageError):
    """The bucket or root folder does not exist."""


class ObjectNotFoundError(StorageError):
    """No object under that key."""


class PreconditionFailedError(StorageError):
    """The condition of a read or write (If-Match, If-None-Match) did not hold."""


class AccessDeniedError(StorageError):
    """Credentials are missing, unreadable or insufficient."""


class TransientStorageError(StorageError):
    """A request was throttled, timed out or cut short, also after all retries."""


class UnknownSchemaError(TransientStorageError):
    """A record of a stream names a schema that is not in the store, or not yet."""


class OutageError(TransientStorageError):
    """The store did not answer for as long as a run waits for it (``run.outage_minutes``)."""


class DataError(GigacastError):
    """An object's content cannot be used."""


class DataNotFoundError(DataError):
    """No data matches the request."""


class MomentNotServedError(DataNotFoundError):
    """Served features do not answer for the moment: it is before their batch, or long after."""


class InvalidFilenameError(DataError):
    """A key does not match the naming pattern."""


class CorruptedFileError(DataError):
    """A file cannot be read in its format."""


class DataQualityError(DataError):
    """Too much of the data is missing, duplicate or out of range."""


class IncompleteContextError(DataError):
    """There is too little history to forecast from, or it has gaps."""


class DatasetConflictError(DataError):
    """A version or snapshot exists, or is being published, with other content."""


class DatasetIntegrityError(DataError):
    """A dataset's files are not the ones in its manifest."""


class SchemaError(DataError):
    """Columns are missing, ambiguous or of an unusable type."""


class TimeRangeError(SchemaError):
    """A type of timestamps cannot hold times to be written in it."""


class NumberRangeError(SchemaError):
    """A type of numbers loses steps of values to be written in it."""


class SchemaMismatchError(SchemaError):
    """Rows break a contract.

    Parameters
    ----------
    message : str
        Description of the fault and its place.
    hint : str, optional
        Advice on how to mend it; none by default.
    violations : tuple of Violation
        All violations with column, rule, count and sample rows; see
        `gigacast.core.contract.report`.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, violations: tuple[object, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.violations = violations

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"violations": self.violations})


class MissingRequiredColumnError(SchemaMismatchError):
    """A column required by the contract is missing."""


class DataTypeValidationError(SchemaMismatchError):
    """A column, or some of its values, has another type than in the contract."""


class ContractViolationError(SchemaMismatchError):
    """Values break the contract's rules."""


class ModelError(GigacastError):
    """A model cannot be found, verified or used."""


class ModelNotFoundError(ModelError):
    """No model under that name, key or folder."""


class ModelIntegrityError(ModelError):
    """The files of a model do not match its digest."""


class ModelConflictError(ModelError):
    """A version exists with other content, or another operator's change came first."""


class ModelRejectedError(ModelError):
    """A version is not better than the active one, so it is not activated."""


class UnsupportedForecastError(ModelError):
    """The model does not support the levels, horizon or context."""


class TaskError(GigacastError):
    """A partition could not be forecast; the others continue."""


class InputChangedError(TaskError):
    """The input is no longer the object that was planned."""


class WorkerLostError(TaskError):
    """The process that ran the task died."""


class ComputeError(GigacastError):
    """The service that runs tasks elsewhere refused or failed."""


class ComputeAccessError(ComputeError):
    """Credentials for the service are missing, or do not allow an action."""


class TransientComputeError(ComputeError):
    """The service throttled or was unreachable, also after all retries."""


class PlanError(GigacastError):
    """A run's plan changed, expired or cannot be read."""


class MissingExtraError(GigacastError):
    """An optional dependency is not installed."""
