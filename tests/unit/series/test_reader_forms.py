"""Files of every writer's habits hold the same series: encodings, pages, codecs, zones."""

import itertools

import pyarrow as pa
import pytest

from gigacast.core.time.zone import named_zone, zone_of
from gigacast.errors import SchemaError
from tests.unit.series.reading import days, parquet, read, reader_of

TIMES = pa.array(days("2024-01-01", 4).to_numpy("datetime64[us]"))
IDS = ["a", "a", "a", "a", "b", "b", "b", "b"]
PANEL = pa.table(
    {
        "item_id": IDS,
        "timestamp": pa.concat_arrays([TIMES, TIMES]),
        "target": [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0, 8.0],
    }
)
IN_MEMORY = read(PANEL)
ENCODINGS = ("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY")
UTC_NAMES = [
    "UTC", "utc", "Etc/UTC", "GMT", "Etc/GMT", "GMT0", "Etc/GMT+0", "Z", "Zulu", "UCT",
    "Etc/Universal", "Greenwich", "+00:00", "-00:00", "+0000", "+00",
]  # fmt: skip


@pytest.mark.parametrize("text", ENCODINGS)
@pytest.mark.parametrize("time", ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"])
@pytest.mark.parametrize("page", ["1.0", "2.0"])
@pytest.mark.parametrize("id_type", [pa.string(), pa.large_string(), pa.binary()], ids=str)
def test_every_encoding_holds_the_same_series(text, time, page, id_type):
    table = PANEL.set_column(0, "item_id", PANEL["item_id"].cast(id_type))
    numbers = {"timestamp": time, "target": "PLAIN" if time.startswith("DELTA") else time}
    content = parquet(
        table,
        use_dictionary=False,
        column_encoding={"item_id": text, **numbers},
        data_page_version=page,
        row_group_size=3,
    )
    assert read(content) == IN_MEMORY


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_every_codec_holds_the_same_series(codec):
    assert read(parquet(PANEL, compression=codec)) == IN_MEMORY


def test_parts_may_differ_in_their_encoding():
    coded = parquet(PANEL.slice(0, 4))
    plain = parquet(PANEL.slice(4), use_dictionary=False, column_encoding={"item_id": ENCODINGS[1]})
    assert read(coded, plain) == IN_MEMORY


@pytest.mark.parametrize("text", ENCODINGS)
def test_text_times_and_categories_may_have_any_encoding(text):
    table = PANEL.set_column(1, "timestamp", PANEL["timestamp"].cast(pa.date32()).cast(pa.string()))
    options = {"use_dictionary": False, "column_encoding": {"item_id": text, "timestamp": text}}
    assert read(parquet(table, **options)) == read(table)


@pytest.mark.parametrize("spelling", UTC_NAMES)
def test_utc_is_one_zone_however_it_is_spelt(spelling):
    kind = pa.timestamp("us", spelling)
    assert zone_of(kind) is None
    assert named_zone(kind) == "UTC"
    parts = [
        parquet(table.set_column(1, "timestamp", table["timestamp"].cast(pa.timestamp("us", zone))))
        for table, zone in ((PANEL.slice(0, 4), "UTC"), (PANEL.slice(4), spelling))
    ]
    # The first part names the type of the forecasts. Every spelling must be readable there.
    for ordered in itertools.permutations(parts):
        (batch,) = list(reader_of(*ordered))
        assert {value.utcoffset().total_seconds() for value in batch.last_arrow().to_pylist()} == {
            0
        }
        assert batch.future_arrow(2).to_pandas().dt.hour.eq(0).all()


@pytest.mark.parametrize(
    "zone_name", ["Europe/London", "+01:00", "Etc/GMT+1", "Africa/Abidjan", None]
)
def test_other_zones_are_not_utc(zone_name):
    assert named_zone(pa.timestamp("us", zone_name)) == zone_name
    parts = [
        PANEL.set_column(1, "timestamp", PANEL["timestamp"].cast(pa.timestamp("us", zone)))
        for zone in ("UTC", zone_name)
    ]
    with pytest.raises(SchemaError, match="timestamps"):
        list(reader_of(*map(parquet, parts)))
