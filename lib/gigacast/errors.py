"""The whole error tree.

::

    GigacastError                    everything this package raises on purpose
    ├── ConfigError                  a setting, flag or configuration file is wrong (exit code 2)
    ├── StorageError                 the object store refused or failed
    │   ├── BucketNotFoundError      the bucket or root folder does not exist
    │   ├── ObjectNotFoundError      no object under that key
    │   ├── PreconditionFailedError  If-Match / If-None-Match did not hold
    │   ├── AccessDeniedError        missing, unreadable or insufficient credentials
    │   └── TransientStorageError    throttled, timed out, broken body: retried, then raised
    ├── DataError                    an object's content cannot be used
    │   ├── DataNotFoundError        nothing matches what was asked for
    │   ├── InvalidFilenameError     a key does not match the naming pattern
    │   ├── CorruptedFileError       the bytes are not the format they claim to be
    │   ├── DataQualityError         too much of the data is missing, doubled or out of range
    │   ├── IncompleteContextError   too little history to forecast from
    │   ├── DatasetConflictError     a version is there, or being made, with other content
    │   ├── DatasetIntegrityError    a dataset's files are not the ones its manifest names
    │   └── SchemaError              columns are missing, ambiguous or of an unusable type
    │       └── SchemaMismatchError  a contract does not hold; carries every violation
    │           ├── MissingRequiredColumnError   a column the contract requires is not there
    │           ├── DataTypeValidationError      a column, or some of its values, has another type
    │           └── ContractViolationError       values break the contract's rules
    ├── ModelError                   a model cannot be found, trusted or used as asked
    │   ├── ModelNotFoundError       no model under that name, key or folder
    │   ├── ModelIntegrityError      the files are not the ones the digest names
    │   ├── ModelConflictError       another publish, switch or delete decided otherwise
    │   ├── ModelRejectedError       a version is no better than the one that is active
    │   └── UnsupportedForecastError levels, horizon or context the model cannot give
    ├── TaskError                    one partition could not be forecast; the run goes on
    │   ├── InputChangedError        the input is no longer the object that was planned
    │   └── WorkerLostError          the process that held the task died
    ├── ComputeError                 the service that runs tasks elsewhere refused or failed
    │   ├── ComputeAccessError       no credentials, or no permission for one action
    │   └── TransientComputeError    throttled or out of reach: retried, then raised
    ├── PlanError                    a run's plan changed, expired or is not to be read
    └── MissingExtraError            an optional dependency is not installed

Every message says what was wrong and where; ``hint`` says what to do about it.
"""


class GigacastError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message : str
        What was wrong, and where.
    hint : str, optional
        What to do about it; shown on its own line by the command line.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders: keyword-only arguments need a hand in pickling.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[GigacastError], message: str, hint: str | None) -> GigacastError:
    return kind(message, hint=hint)


class ConfigError(GigacastError):
    """A setting, flag or configuration file is wrong; the message names the field."""


class StorageError(GigacastError):
    """The object store refused or failed."""


class BucketNotFoundError(StorageError):
    """The bucket or root folder does not exist."""


class ObjectNotFoundError(StorageError):
    """No object under that key."""


class PreconditionFailedError(StorageError):
    """A conditional read or write found another object than it named."""


class AccessDeniedError(StorageError):
    """Credentials are missing, unreadable or insufficient."""


class TransientStorageError(StorageError):
    """Throttled, timed out or cut short; raised only after the retries are spent."""


class DataError(GigacastError):
    """An object's content cannot be used."""


class DataNotFoundError(DataError):
    """Nothing matches what was asked for."""


class InvalidFilenameError(DataError):
    """A key does not match the naming pattern."""


class CorruptedFileError(DataError):
    """The bytes are not the format they claim to be."""


class DataQualityError(DataError):
    """Too much of the data is missing, comes twice or is out of its range."""


class IncompleteContextError(DataError):
    """There is too little history to forecast from, or it has gaps."""


class DatasetConflictError(DataError):
    """A version or snapshot exists, or is being made, with other content."""


class DatasetIntegrityError(DataError):
    """A dataset's files are not the ones its manifest names."""


class SchemaError(DataError):
    """Columns are missing, ambiguous or of an unusable type."""


class SchemaMismatchError(SchemaError):
    """A contract does not hold.

    Parameters
    ----------
    message : str
    hint : str, optional
    violations : tuple of Violation
        Every one: its column, rule, count and sample rows; see `core.contract_report`.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, violations: tuple[object, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.violations = violations

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"violations": self.violations})


class MissingRequiredColumnError(SchemaMismatchError):
    """A column that the contract requires is not there."""


class DataTypeValidationError(SchemaMismatchError):
    """A column, or some of its values, is of another type than the contract's."""


class ContractViolationError(SchemaMismatchError):
    """Values break the contract's rules."""


class ModelError(GigacastError):
    """A model cannot be found, trusted or used as asked."""


class ModelNotFoundError(ModelError):
    """No model under that name, key or folder."""


class ModelIntegrityError(ModelError):
    """The files are not the ones the digest names."""


class ModelConflictError(ModelError):
    """A version exists with other content, or another operator was faster."""


class ModelRejectedError(ModelError):
    """A version is no better than the active one, so it does not go live."""


class UnsupportedForecastError(ModelError):
    """Levels, horizon or context the model cannot give."""


class TaskError(GigacastError):
    """One partition could not be forecast; the others go on."""


class InputChangedError(TaskError):
    """The input is no longer the object that was planned."""


class WorkerLostError(TaskError):
    """The process that held the task died."""


class ComputeError(GigacastError):
    """The service that runs tasks elsewhere refused or failed."""


class ComputeAccessError(ComputeError):
    """There are no credentials for the service, or they do not allow an action."""


class TransientComputeError(ComputeError):
    """Throttled, or out of reach; raised only after the retries are spent."""


class PlanError(GigacastError):
    """A run's plan changed, expired, or is not to be read."""


class MissingExtraError(GigacastError):
    """An optional dependency is not installed."""
