"""``gigacast data features``: compute a feature set from a dataset or files."""

from typing import Any

import click

from gigacast.cli.data.command import (
    changelog_option,
    codec_option,
    partition_option,
    placed,
    print_json,
    read_address,
    split_names,
    time_option,
)
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.files import FileRules
from gigacast.datasets.publish import PublishOptions
from gigacast.datasets.resolve import open_source
from gigacast.errors import ConfigError
from gigacast.feature_sets.build import (
    VALUELESS_HINT,
    FeatureOptions,
    build_features,
    choose_recipe,
)
from gigacast.feature_sets.document import features_document, features_json
from gigacast.feature_sets.kernel.predefined import RECIPES
from gigacast.job.audit import this_author
from gigacast.report.terminal import say, show
from gigacast.settings.loader import parse_size

_OWN = (
    *("recipe", "like", "time_column", "item_column", "bars_per_day", "memory_limit"),
    *("partition_by", "compression", "what"),
)


@click.command()
@click.argument("source")
@click.argument("dataset")
@click.option("--recipe", help=f"Recipe: a YAML file, or one of {', '.join(RECIPES)}.")
@click.option(
    "--like",
    metavar="FEATURE_SET",
    help="Published feature set whose recipe, selection and scaler are used.",
)
@time_option
@click.option("--item_column", help="Column of item ids; recognised by default.")
@click.option(
    "--bars_per_day",
    type=click.IntRange(1),
    metavar="N",
    help="Rows per day, for windows such as 30d; the recipe's by default.",
)
@click.option(
    "--memory_limit",
    default="4GB",
    show_default=True,
    help="Maximum size of the rows that are in memory at once.",
)
@partition_option
@codec_option
@changelog_option
@placed
def features(source: str, dataset: str, as_json: bool, **flags: Any) -> None:
    """Compute features of SOURCE, a dataset or local Parquet, and publish them as DATASET.

    \b
    Examples:
      gigacast data features cleaned/EURUSD features/momentum --recipe momentum_indicators
      gigacast data features cleaned/v2/EURUSD features/mine --recipe mine.yaml
      gigacast data features cleaned/v3/EURUSD features/mine --like features/v1/mine
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own = {name: flags.pop(name) for name in _OWN}
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    recipe, learned, bars_per_day = choose_recipe(lake, own["recipe"], own["like"])
    rows, origins = open_source(lake, source)
    limit = parse_size(own["memory_limit"])
    if not isinstance(limit, int) or limit < 1:
        raise ConfigError(f"--memory_limit: {own['memory_limit']!r} is no size", hint="as 2GB")
    options = FeatureOptions(
        recipe=recipe,
        time_column=own["time_column"],
        item_column=own["item_column"],
        bars_per_day=own["bars_per_day"] or bars_per_day,
        learned=learned,
        memory_limit_bytes=limit,
        publish=PublishOptions(
            what=own["what"],
            dependencies=origins,
            files=FileRules(
                partition_by=split_names(own["partition_by"]), codec=own["compression"]
            ),
        ),
    )
    built = build_features(lake, ref, rows, options, this_author())
    for name in built.valueless:
        say(f"warning: {name} has no value in any row; {VALUELESS_HINT}", err=True)
    if as_json:
        print_json(features_json(built))
    else:
        show(features_document(built))
