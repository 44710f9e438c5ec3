"""Whether one task is done, asked of the store now. Imports ``core``, ``storage`` and ``lake``.

The planner decides that for millions by three listings; this is the same rule for one, for a worker
about to start and for a run about to be closed: one request where there is no output, two where
there is. A receipt's key names both ETags, so nothing is listed.
"""

from gigacast.core.task import Task
from gigacast.errors import ObjectNotFoundError
from gigacast.lake.layout import receipt_key
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
    try:
        output = store.head(task.output_key)
        return read_receipt(store, receipt_key(task.output_key, task.input_id, output.etag))
    except ObjectNotFoundError:
        return None
