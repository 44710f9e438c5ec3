"""The jobs of a night: commands in their order, each after those before it."""

import pytest

from gigacast.batch.night import plan_steps
from gigacast.errors import ConfigError
from gigacast.feature_store.nightly import NightJob

DAY = "2024-01-31"
FEATURES = [
    NightJob("backfill", "shop.a", ("backfill", "shop.a", "--ds", DAY), ()),
    NightJob("upload", "shop.a", ("upload", "shop.a", "--ds", DAY), (0,)),
    NightJob("backfill", "shop.b", ("backfill", "shop.b", "--ds", DAY), ()),
]


def test_commands_follow_each_other_and_features_stand_where_they_are_named() -> None:
    texts = ["data quality --fail missing=0.2", "feature-store", "forecast --horizon 24"]
    steps = plan_steps(texts, FEATURES, DAY)
    assert [(step.name, step.after) for step in steps] == [
        ("data-quality", ()),
        ("backfill-shop_a", (0,)),
        ("upload-shop_a", (1,)),
        ("backfill-shop_b", (0,)),
        ("forecast", (2, 3)),
    ]
    assert steps[0].command == ("data", "quality", "--fail", "missing=0.2")
    assert steps[1].command == ("feature-store", "backfill", "shop.a", "--ds", DAY)


def test_features_come_first_where_no_command_names_them_and_the_day_is_put_in() -> None:
    steps = plan_steps(["data import 'day {ds}.csv' raw/x"], FEATURES[:1], DAY)
    assert [step.command[:2] for step in steps] == [
        ("feature-store", "backfill"),
        ("data", "import"),
    ]
    assert steps[1].command[2] == "day 2024-01-31.csv"


@pytest.mark.parametrize("text", ["", "  ", "gigacast forecast", "data 'quality"])
def test_a_text_that_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="nightly: "):
        plan_steps([text], [], DAY)


def test_a_step_waits_for_no_more_jobs_than_batch_allows() -> None:
    many = [NightJob("backfill", f"shop.f{n}", ("backfill",), ()) for n in range(21)]
    with pytest.raises(ConfigError, match="waits for 21 jobs, Batch allows 20"):
        plan_steps(["feature-store", "forecast"], many, DAY)
