"""``gigacast data features``: compute a feature set from a dataset or files."""

from typing import Any

import click

from gigacast.cli.data.command import print_json, read_address, split_names, verify_option
from gigacast.cli.flags import flags_of, place_options, settings_flags
from gigacast.cli.help import Command
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
from gigacast.feature_sets.source import named_items
from gigacast.job.audit import this_author
from gigacast.report.terminal import say, show
from gigacast.settings.command.data import FeaturesOptions
from gigacast.settings.flag import take
from gigacast.settings.loader import parse_size


@click.command(cls=Command)
@click.argument("source")
@click.argument("dataset")
@flags_of(FeaturesOptions)
@settings_flags("item_column", "item_columns")
@verify_option
@place_options
def features(source: str, dataset: str, as_json: bool, **flags: Any) -> None:
    """Compute features of SOURCE, a dataset or local Parquet, and publish them as DATASET.

    \b
    Examples:
      gigacast data features cleaned/EURUSD features/momentum --recipe momentum_indicators
      gigacast data features cleaned/v2/EURUSD features/mine --recipe mine.yaml
      gigacast data features cleaned/v3/EURUSD features/mine --like features/v1/mine
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own = take(FeaturesOptions, flags)
    # A name of the input of forecasts, from settings, is no name in another dataset.
    several = flags.pop("item_columns") or ()
    names = split_names(several) if isinstance(several, str) else several
    items = named_items(flags.pop("item_column"), names)
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    recipe, learned, bars_per_day = choose_recipe(lake, own.recipe, own.like)
    rows, origins = open_source(lake, source)
    limit = parse_size(own.memory_limit)
    if not isinstance(limit, int) or limit < 1:
        raise ConfigError(f"--memory_limit: {own.memory_limit!r} is no size", hint="as 2GB")
    options = FeatureOptions(
        recipe=recipe,
        time_column=own.time_column,
        items=items,
        bars_per_day=own.bars_per_day or bars_per_day,
        learned=learned,
        memory_limit_bytes=limit,
        n_jobs=own.n_jobs,
        publish=PublishOptions(
            what=own.what,
            dependencies=origins,
            files=FileRules(partition_by=split_names(own.partition_by), codec=own.compression),
        ),
    )
    built = build_features(lake, ref, rows, options, this_author())
    for name in built.valueless:
        say(f"warning: {name} has no value in any row; {VALUELESS_HINT}", err=True)
    if as_json:
        print_json(features_json(built))
    else:
        show(features_document(built))
