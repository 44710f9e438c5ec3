"""Whether one task is done, asked of the store now. Imports ``core``, ``storage`` and ``lake``.

The planner decides that for millions by three listings; this is the same rule for one, in two
requests, for a worker about to start and for a run about to be closed.
"""

from gigacast.core.task import Task
from gigacast.errors import ObjectNotFoundError
from gigacast.lake.layout import receipt_key, receipt_prefix
from gigacast.lake.receipt import Receipt, read_receipt
from gigacast.storage.store import Store


def find_receipt(store: Store, task: Task) -> Receipt | None:
    """Return the receipt that names a task's input and its output as it is now; else ``None``.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    task : Task

    Raises
    ------
    StorageError, CorruptedFileError
    """
    prefix = receipt_prefix(f"{task.output_key}.{task.input_id}.")
    receipts = {entry.key for page in store.list(prefix) for entry in page}
    if not receipts:
        return None
    try:
        key = receipt_key(task.output_key, task.input_id, store.head(task.output_key).etag)
        return read_receipt(store, key) if key in receipts else None
    except ObjectNotFoundError:
        return None
