"""Features online equal those of a backfill, at any time, for random events and moments."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import DataError, DataNotFoundError
from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.online.answer import answer
from gigacast.feature_store.online.batch_state import BatchValue, Span, build_batch
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.stream_state import MAX_ROWS, DayValue, StreamRow

HOUR, DAY = 3_600_000, 86_400_000
END = 20_000 * DAY
SPAN = Span(END, 3 * DAY)
WINDOWS = (HOUR, 6 * HOUR, 3 * DAY, 14 * DAY, None)
CALLS = (
    Call("SUM"),
    Call("COUNT"),
    Call("AVERAGE"),
    Call("MIN"),
    Call("LAST"),
    Call("LAST_K", 3),
    Call("TOP_K", 2),
    Call("UNIQUE_COUNT"),
    Call("HISTOGRAM"),
)
PARTS = [
    *(Part(f"{call.name}_{w}", "price", call, w) for w in WINDOWS for call in CALLS),
    Part("by_shop", "price", Call("SUM"), 3 * DAY, "shop"),
]
SCHEMA = pa.schema([("price", pa.float64()), ("shop", pa.string())])
FEATURES = Features(PARTS, SCHEMA)

# Times near edges: of windows, of hops, and of the batch.
offsets = st.sampled_from([0, 1, -1, HOUR, 6 * HOUR, 3 * DAY, 14 * DAY, 300_000, 12 * HOUR])
times = st.builds(
    lambda days, offset, remainder: END + days * DAY - offset + remainder,
    st.integers(-16, 3),
    offsets,
    st.one_of(st.just(0), st.integers(0, DAY)),
)
moments = st.one_of(
    st.integers(END, SPAN.last),
    st.builds(lambda step: END + step * 300_000, st.integers(0, 3 * 288)),
    st.sampled_from([END, END + 1, SPAN.last, SPAN.last - 1]),
)
prices = st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.1, 0.2, 0.3, 1e300, -0.0]))
events = st.lists(st.tuples(times, prices, st.sampled_from(["a", "b", None])), max_size=30)


def rows_of(events):
    """Return events of one entity as rows of the kernel."""
    columns = pa.table(
        [pa.array([e[n] for e in events], field.type) for n, field in enumerate(SCHEMA, 1)],
        schema=SCHEMA,
    )
    key = pa.array([7] * len(events), pa.int64())
    return Rows([key], np.array([e[0] for e in events], np.int64), columns)


def backfilled(events, at):
    """Return the features of the kernel, from all events."""
    queries = Queries([pa.array([7])], np.array([at]))
    row = aggregate(queries, rows_of(events), PARTS).to_pylist()[0]
    return {
        name: dict(value) if name == "by_shop" and value else value for name, value in row.items()
    }


def served(events, at, features=FEATURES, span=SPAN):
    """Return the features of a batch and a stream, each stored and read again."""
    stored = dict(build_batch(features, rows_of(events), span))
    days = {}
    for time, price, shop in events:
        if time >= span.end:
            start = time // DAY * DAY
            day = days.get(start, DayValue(features, start))
            day.add(
                StreamRow(
                    time, time, False, [{"price": price, "shop": shop}[n] for n in features.columns]
                )
            )
            days[start] = DayValue.decode(features, start, day.encode())
    batch = BatchValue(stored.get((7,)))
    return answer(features, batch, [days[start] for start in sorted(days)], at, span.end)


def comparable(features):
    return {
        name: dict(value) if name.startswith(("HISTOGRAM", "by")) and value else value
        for name, value in features.items()
    }


@settings(deadline=None)
@given(events, moments)
def test_features_online_are_those_of_a_backfill_to_the_last_bit(events, at):
    assert comparable(served(events, at)) == comparable(backfilled(events, at))


@settings(deadline=None, max_examples=30)
@given(events, st.randoms(use_true_random=False))
def test_the_order_in_which_events_come_changes_no_answer(events, random):
    shuffled = list(events)
    random.shuffle(shuffled)

    assert comparable(served(shuffled, SPAN.last)) == comparable(served(events, SPAN.last))


def test_an_event_at_the_end_of_the_batch_is_seen_only_after_it():
    events = [(END, 5.0, "a"), (END - 1, 1.0, "a")]

    assert served(events, END)["SUM_None"] == 1.0
    assert served(events, END + 1)["SUM_None"] == 6.0


def test_an_event_leaves_its_window_while_the_batch_is_served():
    events = [(END - 3 * DAY, 5.0, None)]

    assert served(events, END + HOUR - 1)[f"SUM_{3 * DAY}"] == 5.0
    assert served(events, END + HOUR)[f"SUM_{3 * DAY}"] is None


def many_events():
    """Return more events of a day than are kept as they are: one each minute."""
    return [(END + n * 60_000, float(n), "a") for n in range(MAX_ROWS + 200)]


@pytest.mark.parametrize("minutes", [455, 456, 1000, 5, 60, 440, 447])
def test_of_many_events_the_present_and_the_ends_of_five_minutes_are_exact(minutes):
    events, at = many_events(), END + minutes * 60_000

    assert comparable(served(events, at)) == comparable(backfilled(events, at))


def test_of_many_events_a_past_moment_within_five_minutes_is_refused():
    with pytest.raises(DataNotFoundError, match="steps of five minutes"):
        served(many_events(), END + 61 * 60_000)


def test_which_events_are_merged_does_not_depend_on_their_order():
    def encoded(events):
        day = DayValue(FEATURES, END)
        for time, price, shop in events:
            day.add(StreamRow(time, time, False, [price, shop]))
        return day.encode()

    assert encoded(many_events()) == encoded(many_events()[::-1])


def test_a_value_for_each_place_of_a_window_is_kept_and_no_more():
    many = [(END - n * 60_000 - 1, 1.0, "a") for n in range(30 * 24 * 60)]
    features = Features([Part("n", "price", Call("COUNT"), 3 * DAY)], SCHEMA)

    [(_, stored)] = build_batch(features, rows_of(many), SPAN)

    assert len(stored) < 73 * 20


@pytest.mark.parametrize("damage", [b"", b"\x93\x01", b"\x93\x07\xc0\x90", b"\xff" * 9])
def test_damaged_values_are_named(damage):
    with pytest.raises(DataError, match=r"damaged|format"):
        BatchValue(damage)
    with pytest.raises(DataError, match=r"damaged|format"):
        DayValue.decode(FEATURES, END, damage)
