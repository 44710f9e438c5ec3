"""Which row groups may hold rows after a moment: never one too few."""

import io
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.storage.parquet.statistics import groups_after

SINCE = datetime(2014, 1, 3, 12)  # noqa: DTZ001 - times without a zone
HOURS = np.datetime64("2014-01-01", "h") + np.arange(120)
FORMS = {
    "space": lambda t: str(t).replace("T", " ") + ":00:00",
    "letter": lambda t: f"{t}:00",
    "fractions": lambda t: f"{t}:00:00.000",
}


def metadata_of(times: object, group_rows: int = 24) -> object:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"ds": times}), buffer, row_group_size=group_rows)
    return pq.read_metadata(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("form", FORMS)
def test_texts_are_compared_as_times(form: str) -> None:
    metadata = metadata_of([FORMS[form](hour) for hour in HOURS])
    assert groups_after(metadata, "ds", SINCE) == [2, 3, 4]


def test_timestamps_are_compared_as_they_are() -> None:
    assert groups_after(metadata_of(HOURS.astype("M8[us]")), "ds", SINCE) == [2, 3, 4]


@pytest.mark.parametrize("seed", range(8))
def test_no_group_with_a_later_row_is_left_out_whatever_forms_are_mixed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forms = list(FORMS.values())
    share = rng.choice([0.0, 0.01, 0.5])
    texts = [
        forms[rng.integers(3)](hour) if rng.random() < share else forms[seed % 3](hour)
        for hour in rng.permutation(HOURS)
    ]
    late = [datetime.fromisoformat(text) > SINCE for text in texts]
    needed = {row // 24 for row, is_late in enumerate(late) if is_late}
    assert needed <= set(groups_after(metadata_of(texts), "ds", SINCE))


@pytest.mark.parametrize(
    "times",
    [
        [f"{n}.1.2014" for n in range(48)],
        [f"2014-01-01 {n % 24:02d}:00+05:00" for n in range(48)],
        [f"2014-13-01 {n % 24:02d}:00" for n in range(48)],
        list(range(48)),
        pa.array(HOURS[:48].astype("M8[us]")).cast(pa.timestamp("us", "UTC")),
        pa.nulls(48, pa.string()),
        [f"{n}".encode() for n in range(48)],
    ],
    ids=["days first", "zones", "no month", "numbers", "zoned", "missing", "bytes"],
)
def test_row_groups_with_uncertain_bounds_are_kept(times: object) -> None:
    assert groups_after(metadata_of(times), "ds", datetime(2020, 1, 1)) == [0, 1]  # noqa: DTZ001
