"""Columns, tables and definitions have the names that features are served and stored under."""

import pytest

from gigacast.errors import ConfigError
from gigacast.feature_store import (
    Aggregation,
    ContextualSource,
    Derivation,
    ExternalPart,
    ExternalSource,
    JoinPart,
    LabelPart,
    Operation,
    TimeUnit,
    Window,
)
from gigacast.feature_store.definition.aggregation import OPERATIONS
from gigacast.feature_store.definition.name import (
    aggregation_columns,
    external_columns,
    feature_name,
    group_by_columns,
    join_columns,
    longest_window_days,
    parse_name,
    part_columns,
    path_of,
    skew_filter,
    table_names,
    window_text,
)
from gigacast.feature_store.definition.source import split_table
from tests.unit.feature_store.definition.definitions import group_by, join


@pytest.mark.parametrize(
    ("operation", "window", "bucket", "name"),
    [
        (Operation.SUM, "3d", None, "price_sum_3d"),
        (Operation.SUM, None, None, "price_sum"),
        (Operation.AVERAGE, "6h", "city", "price_average_6h_by_city"),
        (Operation.LAST_K(10), None, None, "price_last10"),
        (Operation.FIRST_K(3), "1d", None, "price_first3_1d"),
        (Operation.TOP_K(5), "7d", None, "price_top5_7d"),
        (Operation.BOTTOM_K(2), None, "city", "price_bottom2_by_city"),
        (Operation.APPROX_HISTOGRAM_K(3), "1d", None, "price_approx_histogram_k_1d"),
        (Operation.BOUNDED_UNIQUE_COUNT_K(5), "2d", None, "price_bounded_unique_count_2d"),
        (Operation.APPROX_PERCENTILE([0.5], k=200), None, None, "price_approx_percentile"),
    ],
)
def test_a_feature_is_named_by_column_operation_window_and_bucket(
    operation: Operation, window: str | None, bucket: str | None, name: str
) -> None:
    part = Aggregation("price", operation, windows=window and [window], buckets=bucket and [bucket])
    assert aggregation_columns(part) == (name,)
    assert feature_name("price", operation, part.windows and part.windows[0], bucket) == name


def test_an_aggregation_has_a_column_for_each_window_and_bucket() -> None:
    part = Aggregation("x", Operation.SUM, windows=["1d", "2d"], buckets=["a", "b"])
    assert aggregation_columns(part) == (
        *("x_sum_1d_by_a", "x_sum_1d_by_b", "x_sum_2d_by_a", "x_sum_2d_by_b"),
    )


def test_a_join_puts_prefix_and_group_by_before_the_features() -> None:
    part = JoinPart(group_by=group_by(name="team.my-file.v1".replace("-", "_")), prefix="buyer")
    assert part_columns(part) == ("buyer_team_my_file_v1_price_sum",)
    assert join_columns(join()) == ("team_purchases_v1_price_sum",)


def test_external_parts_are_named_by_their_source_and_fields() -> None:
    service = ExternalSource(name="risk", value_fields=[("score", "double")])
    request = ContextualSource(fields=[("page", "string")])
    assert external_columns(ExternalPart(source=service, prefix="p")) == ("ext_p_risk_score",)
    assert external_columns(ExternalPart(source=request)) == ("ext_contextual_page",)


def test_derivations_add_rename_and_replace_columns() -> None:
    parts = [Aggregation("a", Operation.SUM), Aggregation("b", Operation.SUM)]
    half, renamed = Derivation("half", "a_sum / 2"), Derivation("total", "a_sum")
    every = Derivation("*", "*")

    def columns(*derivations: Derivation) -> tuple[str, ...]:
        return group_by_columns(group_by(aggregations=parts, derivations=derivations))

    assert columns() == ("a_sum", "b_sum")
    assert columns(half) == ("half",)
    assert columns(half, every) == ("a_sum", "b_sum", "half")
    assert columns(every, renamed) == ("b_sum", "total")
    assert columns(every, renamed, Derivation("a_sum", "a_sum")) == ("b_sum", "total", "a_sum")


def test_tables_are_named_by_namespace_and_definition() -> None:
    labels = LabelPart(
        labels=[JoinPart(group_by=group_by())], left_start_offset=1, left_end_offset=1
    )
    wide = join(output_namespace="ml", label_part=labels)
    assert table_names(wide) == (
        "ml.team_training_set_v1",
        "ml.team_training_set_v1_daily_stats",
        "ml.team_training_set_v1_logged",
        "ml.team_training_set_v1_bootstrap",
        "ml.team_training_set_v1_labels",
        "ml.team_training_set_v1_labeled",
        "ml.team_training_set_v1_labeled_latest",
        "ml.team_training_set_v1_team_purchases_v1",
    )
    assert path_of(wide) == "joins/team/training_set.v1.json"
    assert path_of(group_by(name="sums")) == "group_bys/default/sums.json"


@pytest.mark.parametrize(
    "text",
    [
        "quickstart.returns.v1",
        "quickstart/returns.v1",
        "group_bys/quickstart/returns.v1",
        "production/group_bys/quickstart/returns.v1",
        "feature_store/definitions/group_bys/quickstart/returns.v1.json",
    ],
)
def test_a_name_is_read_in_every_form_that_people_write(text: str) -> None:
    assert parse_name(text) == "quickstart.returns.v1"


def test_names_without_a_team_and_those_of_the_team_default_are_apart() -> None:
    assert parse_name("group_bys/default/sums.json") == "sums"
    assert parse_name("group_bys/default/file.v1.json") == "default.file.v1"


@pytest.mark.parametrize("text", ["", "a b", "../a", "a..b", "x" * 300, "a\n"])
def test_a_text_that_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a definition"):
        parse_name(text)


def test_windows_are_shown_and_measured() -> None:
    assert window_text(Window(7, TimeUnit.DAYS)) == "7 days"
    assert window_text(Window(length=1, timeUnit=TimeUnit.HOURS)) == "1 hour"
    parts = [Aggregation("x", windows=["25h"]), Aggregation("x", windows=["1d"])]
    assert longest_window_days(parts) == 2
    assert longest_window_days([Aggregation("x")]) == 1


def test_sub_partitions_are_written_behind_the_table() -> None:
    assert split_table("db.t/a=1/b=2") == ("db.t", {"a": "1", "b": "2"})
    assert split_table("cleaned/EURUSD") == ("cleaned/EURUSD", {})


def test_skewed_keys_are_those_of_the_part() -> None:
    part = JoinPart(group_by=group_by(keys=["x", "c"]), key_mapping={"a": "x"})
    wide = join(skew_keys={"a": ["1"], "c": ["2", "3"], "other": ["4"]})
    assert skew_filter(wide, part) == "x NOT IN (1) OR c NOT IN (2, 3)"
    assert skew_filter(join(), part) is None


def test_every_operation_is_a_value_of_its_own_name() -> None:
    for name in OPERATIONS:
        assert getattr(Operation, name).name == name
    assert Operation.LAST_K(10) == Operation("LAST_K", 10)
    assert Operation.APPROX_PERCENTILE([0.4, 0.2]).args == {"k": 128, "percentiles": (0.4, 0.2)}
    assert Operation.BOUNDED_UNIQUE_COUNT.args == {"k": 8}
    assert Operation.SUM.args == {}


def test_arguments_that_an_operation_does_not_take_are_refused() -> None:
    for call in (
        lambda: Operation.SUM(3),
        lambda: Operation.LAST_K("3"),
        lambda: Operation.LAST_K(1, 2),
        lambda: Window(0, TimeUnit.DAYS),
        lambda: Window(1, "WEEKS"),  # type: ignore[arg-type]
        lambda: Aggregation("x", "MEDIAN"),  # type: ignore[arg-type]
        lambda: Aggregation("x", windows=["7w"]),  # type: ignore[list-item]
    ):
        with pytest.raises(ConfigError, match=r"test_names\.py:\d+: "):
            call()
