"""Documents of selections."""

from gigacast.core.plural import counted
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Heading,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.notebook import render_notebook
from gigacast.selection.result import SelectionResult

_SHOWN = 30
_CANDIDATES = (
    Column("model", Kind.KEY),
    Column("loss", Kind.NUMBER),
    Column("relative", Kind.NUMBER, 1, "relative to seasonal naive"),
    Column("lowest", Kind.COUNT, label="has the lowest loss of"),
    Column("chosen", Kind.COUNT, label="is alone chosen for"),
    Column("weight", Kind.PERCENT, digits=0),
)
_UNITS = (
    Column("for", Kind.KEY),
    Column("forecasts", Kind.COUNT),
    Column("model"),
    Column("gain", Kind.PERCENT, digits=1, label="lower loss than the best model overall"),
)


def selection_document(result: SelectionResult) -> Document:
    """Return what was chosen where, how the candidates did, and the version."""
    rows = [
        (row.model, row.loss, row.relative, row.lowest, row.chosen, row.weight)
        for row in result.candidates
    ]
    shown = result.units[:_SHOWN]
    chosen = [(u.unit, u.forecasts, u.model, u.gain) for u in shown]
    blocks: list[Block] = [
        Heading(f"Candidates, by {result.metric.upper()}"),
        Table(_CANDIDATES, tuple(rows)),
        Heading("Chosen"),
        Table(_UNITS, tuple(chosen)),
    ]
    if len(shown) < len(result.units):
        more = len(result.units) - len(shown)
        blocks.append(Paragraph(f"and {counted(more, 'segment')} more in the files of the report"))
    return Document((*blocks, *_notes(result)))


def _notes(result: SelectionResult) -> list[Block]:
    kind = "series" if result.segment == "series" else "segments"
    state = "published" if result.published.new else "there already, unchanged:"
    is_active = result.published.activated or result.switched
    facts = [
        ("fallback", f"{result.fallback}, for series that nothing was chosen for"),
        ("own choice", f"{result.own:,} {kind} of {result.series:,} series"),
        ("checked", _ahead_text(result)),
        (state, result.name + (", active" if is_active else "")),
        ("work", f"{result.computed} computed, {result.skipped} done before"),
    ]
    notes: list[Block] = [KeyValues.of(facts)]
    if result.ahead is not None and result.ahead[0] > result.ahead[1] * (1 + 1e-9):
        notes.append(
            Paragraph(
                "chosen from the earlier origins, the portfolio is worse at the latest ones than "
                "the best model overall: ask for more --windows, or a larger --margin",
                Tone.WARNING,
            )
        )
    if result.left_out:
        text = f"{counted(result.left_out, 'forecast')} left out: without a scale, or not by all"
        notes.append(Paragraph(text, Tone.WARNING))
    if not is_active and result.published.new:
        name = result.published.manifest.model
        version = result.published.manifest.version
        notes.append(Paragraph(f"to use it: gigacast models switch {name} {version}"))
    if result.location:
        notes.append(Paragraph(f"written to {result.location}.md, .json, .parquet"))
    return notes


def _ahead_text(result: SelectionResult) -> str:
    if result.ahead is None:
        return "not at all: it takes two origins per series"
    portfolio, single = result.ahead
    change = 1 - portfolio / single if single > 0 else 0.0
    if abs(change) < 1e-9:
        return "chosen without the latest origins, it is the best model overall at these"
    side = "lower" if change > 0 else "higher"
    return (
        f"chosen without the latest origins, at these its loss is {abs(change):.1%} {side} than "
        "that of the best model overall"
    )


def selection_html(result: SelectionResult) -> str:
    """Return the result of a selection as notebooks show it."""
    return render_notebook(selection_document(result))


def failed_candidates(result: SelectionResult) -> Document:
    """Return the partitions that a candidate could not forecast."""
    texts = (f"failed: {m} on {t.partition}: {f.message}" for m, t, f in result.failures)
    return Document((Items.of(tuple(texts)),))
