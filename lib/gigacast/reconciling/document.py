"""Documents of reconciliations."""

from gigacast.core.plural import counted
from gigacast.reconciling.run import ReconcileResult
from gigacast.report.document import Block, Document, Items, KeyValues, Paragraph, Tone
from gigacast.report.notebook import render_notebook


def reconcile_document(result: ReconcileResult) -> Document:
    """Return what a reconciliation has done, and where its forecasts are."""
    facts = [
        ("months", f"{result.computed} computed, {result.skipped} done before"),
        ("series", f"{result.series:,}" if result.computed else ""),
        ("written to", result.location),
    ]
    blocks: list[Block] = [KeyValues.of(facts)]
    if result.unsummed:
        text = counted(result.unsummed, "series", "series")
        verb = "is" if result.unsummed == 1 else "are"
        note = f"{text} {verb} in no sum: without a value, or with another end than most"
        blocks.append(Paragraph(note, Tone.WARNING))
    return Document(tuple(blocks))


def reconcile_html(result: ReconcileResult) -> str:
    """Return the result of a reconciliation as notebooks show it."""
    return render_notebook(reconcile_document(result))


def failed_months(result: ReconcileResult) -> Document:
    """Return the months that could not be reconciled."""
    texts = (f"failed: {task.partition}: {f.message}" for task, f in result.failures)
    return Document((Items.of(tuple(texts)),))
