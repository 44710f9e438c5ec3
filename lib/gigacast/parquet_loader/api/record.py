"""What is remembered of loading: which files were processed, and sessions."""

from gigacast.job.run import utc_now
from gigacast.lake.plan.audit import Audit
from gigacast.parquet_loader.api.setup import session_log_of
from gigacast.parquet_loader.discovery import ParquetFileInfo, Range
from gigacast.parquet_loader.ledger import COMPLETED, ProcessedLedger
from gigacast.parquet_loader.session import SessionProgress
from gigacast.settings.loader import ParquetLoaderSettings
from gigacast.storage.store import Store


class LoaderRecord:
    """The methods of `ParquetDataLoader` that keep a record.

    Parameters
    ----------
    config : ParquetLoaderSettings
    inputs, outputs : Store
        Where files are, and where receipts and sessions go.
    """

    def __init__(self, config: ParquetLoaderSettings, inputs: Store, outputs: Store) -> None:
        self.config = config
        self.audit_logger = session_log_of(config, outputs)
        algorithm = config.idempotency.checksum_algorithm
        self.idempotency_tracker = ProcessedLedger(inputs, outputs, algorithm, utc_now)
        self._session = SessionProgress(self.audit_logger)

    def is_already_processed(self, file_info: ParquetFileInfo) -> bool:
        """Whether this content of a file was processed: by its ETag, else by its checksum."""
        if not self.config.idempotency.enabled:
            return False
        done = self.idempotency_tracker.is_processed(file_info)
        if done:
            self._session.note("files_skipped", [file_info])
        return done

    def mark_as_processed(self, file_info: ParquetFileInfo, status: str = COMPLETED) -> None:
        """Write a receipt of what became of a file: ``completed``, ``failed`` or ``skipped``.

        Raises
        ------
        ConfigError
            When the status is another.
        PreconditionFailedError
            When the file was replaced since it was discovered.
        """
        if self.config.idempotency.enabled:
            self.idempotency_tracker.mark_processed(file_info, status)

    def start_audit_session(
        self,
        symbol: str,
        year_range: Range | None = None,
        month_range: Range | None = None,
    ) -> str:
        """Start a session on record and return its id; what is found and loaded is counted."""
        session_id = self.audit_logger.start_session(symbol, year_range, month_range)
        self._session = SessionProgress(self.audit_logger, session_id)
        return session_id

    def end_audit_session(self, session_id: str, status: str = COMPLETED) -> None:
        """End a session; one that has ended stays as it is."""
        self.audit_logger.end_session(session_id, status)
        if self._session.session_id == session_id:
            self._session = SessionProgress(self.audit_logger)

    def read_audit_session(self, session_id: str) -> Audit:
        """Return the record of a session.

        Raises
        ------
        DataNotFoundError
        """
        return self.audit_logger.read_session(session_id)
