"""The whole error tree. Imports nothing, so that every layer may raise from it.

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
    │   └── SchemaError              columns are missing, ambiguous or of an unusable type
    ├── ModelError                   a model cannot be found, trusted or used as asked
    │   ├── ModelNotFoundError       no model under that name, key or folder
    │   ├── ModelIntegrityError      the files are not the ones the digest names
    │   ├── ModelConflictError       another publish, switch or delete decided otherwise
    │   └── UnsupportedForecastError levels, horizon or context the model cannot give
    ├── TaskError                    one partition could not be forecast; the run goes on
    │   ├── InputChangedError        the input is no longer the object that was planned
    │   └── WorkerLostError          the process that held the task died
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


class SchemaError(DataError):
    """Columns are missing, ambiguous or of an unusable type."""


class ModelError(GigacastError):
    """A model cannot be found, trusted or used as asked."""


class ModelNotFoundError(ModelError):
    """No model under that name, key or folder."""


class ModelIntegrityError(ModelError):
    """The files are not the ones the digest names."""


class ModelConflictError(ModelError):
    """A version exists with other content, or another operator was faster."""


class UnsupportedForecastError(ModelError):
    """Levels, horizon or context the model cannot give."""


class TaskError(GigacastError):
    """One partition could not be forecast; the others go on."""


class InputChangedError(TaskError):
    """The input is no longer the object that was planned."""


class WorkerLostError(TaskError):
    """The process that held the task died."""


class MissingExtraError(GigacastError):
    """An optional dependency is not installed."""
