"""Commands that are loaded when they are called: their modules and first sentences of help."""

from gigacast.cli.lazy import Home

_BACKTEST = "gigacast.cli.backtest.command"
_BATCH = "gigacast.cli.batch"
_CONFIGURATION = "gigacast.cli.configuration"
_PREVIEW = "gigacast.cli.preview"
_REPORT = "gigacast.cli.report"
COMMANDS = {
    "forecast": Home(
        "gigacast.cli.forecast",
        "Forecast every partition whose forecast is missing or out of date.",
    ),
    "demo": Home(
        "gigacast.cli.demo",
        "Generate data in an embedded S3, forecast it, look at it, and run again.",
    ),
    "init": Home(_CONFIGURATION, "Write a commented settings file from a look at the bucket."),
    "config": Home(_CONFIGURATION, "Show the settings in force, and where each of them was set."),
    "plan": Home(
        "gigacast.cli.plan", "Count pending partitions, and estimate their time and costs."
    ),
    "status": Home(
        _PREVIEW,
        "Count partitions done, pending, failed, superseded and orphaned, by year and month.",
    ),
    "ls": Home(
        _PREVIEW,
        "List finished forecasts: specs (by default), versions of models, partitions, items, and "
        "more.",
    ),
    "show": Home(
        _PREVIEW,
        "Draw the forecast of a few series of PARTITION (as 2024/01/part-00000) in the terminal.",
    ),
    "plot": Home(
        _PREVIEW,
        "Draw the forecast of a few series of PARTITION as a PNG: context, median, bands, actuals.",
    ),
    "read": Home(
        "gigacast.cli.read",
        "Write the forecasts of the last finished run, of another origin or of a RUN, to a file.",
    ),
    "verify": Home(
        _PREVIEW, "Recompute a sample of finished series by the stock Chronos pipeline and compare."
    ),
    "prune": Home(
        _PREVIEW, "Delete objects that nothing uses any more; without --yes only show them."
    ),
    "models": Home(
        "gigacast.cli.models.command",
        "Versions of models: publish, switch, roll back, verify, back up, compare.",
    ),
    "data": Home(
        "gigacast.cli.data.command",
        "Datasets: import, publish, describe, validate; versions, lineage, retention.",
    ),
    "feature-store": Home(
        "gigacast.cli.feature_store.command",
        "Features: compile definitions, compute their tables of past days, serve and fetch them.",
    ),
    "train": Home(
        "gigacast.cli.train.command",
        "Train models: fine-tune on your data, or pretrain on synthetic series.",
    ),
    "backtest": Home(
        _BACKTEST, "Forecast the past from past origins, and compare models with seasonal naive."
    ),
    "evaluate": Home(
        _BACKTEST, "Compare the forecasts in the bucket with the actuals that have come since."
    ),
    "reconcile": Home(
        "gigacast.cli.reconcile",
        "Forecast the series of each month and their sums, and make the forecasts add up.",
    ),
    "anomalies": Home(
        "gigacast.cli.anomalies",
        "Find values that the forecasts did not expect, and sensors that stopped measuring.",
    ),
    "report": Home(
        _REPORT, "Write the page of RUN, the latest forecast by default: one HTML file in reports/."
    ),
    "serve-report": Home(
        _REPORT, "Show the pages in a bucket's reports/ to a browser of this machine."
    ),
    "submit": Home(_BATCH, "Submit a run to AWS Batch and return; `watch RUN` shows its progress."),
    "watch": Home(
        _BATCH, "Show the progress of the array run RUN, and close it when it has ended."
    ),
    "cancel": Home(
        _BATCH,
        "End the array run RUN: finished partitions stay, the next run does the others.",
    ),
    "logs": Home(
        _BATCH, "Show the log of child INDEX of the array run RUN, or of every child that failed."
    ),
    "completion": Home(
        "gigacast.cli.completion", "Print the script that completes commands and flags in SHELL."
    ),
}
"""Commands of the program."""
MODEL_COMMANDS = {
    "select": Home(
        "gigacast.cli.models.select",
        "Choose the best model for each series by a backtest, and publish the choice as NAME.",
    ),
}
"""Commands of the group `models` that have modules of their own."""
DATA_COMMANDS = {
    "discover": Home(
        "gigacast.cli.data.discover",
        "List the files under the input root by series, with the months they span.",
    ),
    "bucket": Home(
        "gigacast.cli.data.bucket",
        "Divide the rows of each object by a hash of their items, into folders bucket=BB/ of a "
        "month.",
    ),
    "validate": Home(
        "gigacast.cli.data.contract",
        "Check DATASET, or a local file, against a contract; exit code 1 if it is broken.",
    ),
    "infer": Home(
        "gigacast.cli.data.contract",
        "Propose a contract in YAML that DATASET, or a local file, satisfies; edit it by hand.",
    ),
    "deprecate": Home(
        "gigacast.cli.data.retention",
        "Deprecate a version of DATASET: `latest` no longer selects it.",
    ),
    "retire": Home(
        "gigacast.cli.data.retention",
        "Delete versions of DATASET; without --yes only show them.",
    ),
    "quality": Home(
        "gigacast.cli.data.quality",
        "Measure the quality of DATASET, or of the input root's partitions; exit code 1 if any "
        "fails.",
    ),
    "clean": Home(
        "gigacast.cli.data.clean",
        "Clean SOURCE, a dataset or `partitions` (of the input root), into DATASET.",
    ),
    "features": Home(
        "gigacast.cli.data.features",
        "Compute features of SOURCE, a dataset or local Parquet, and publish them as DATASET.",
    ),
}
"""Commands of the group `data` that have modules of their own."""
FEATURE_COMMANDS = {
    "compile": Home(
        "gigacast.cli.feature_store.compile",
        "Check the definitions of PATH, a Python file or a folder, and store them as JSON.",
    ),
    "show": Home(
        "gigacast.cli.feature_store.inspect",
        "Show the compiled definition NAME with its features and tables, or list all.",
    ),
    "analyze": Home(
        "gigacast.cli.feature_store.inspect",
        "Describe the tables of NAME: columns, rows, hot keys, and the cost of a backfill.",
    ),
    "lineage": Home(
        "gigacast.cli.feature_store.inspect",
        "Trace the columns of NAME to the columns of tables.",
    ),
    "backfill": Home(
        "gigacast.cli.feature_store.backfill",
        "Compute the days of NAME that are new, or of which a source's partition changed.",
    ),
    "label": Home(
        "gigacast.cli.feature_store.backfill",
        "Compute the labels of the join NAME that are known on a day.",
    ),
    "upload": Home(
        "gigacast.cli.feature_store.online",
        "Write the features of NAME, a group-by or a join, to the online store, and serve them.",
    ),
    "upload-metadata": Home(
        "gigacast.cli.feature_store.online",
        "Let the join NAME be fetched; its group-bys are uploaded by themselves.",
    ),
    "fetch": Home(
        "gigacast.cli.feature_store.online",
        "Print the features of keys of NAME, a join or a group-by; exit code 1 if a part fails.",
    ),
    "status": Home(
        "gigacast.cli.feature_store.trust",
        "Show what is served: batches and their age, streams and their lag; exit code 1 if a batch "
        "is too old.",
    ),
    "logs": Home(
        "gigacast.cli.feature_store.trust",
        "Write the logged answers of NAME as its table `_logged`, a column per feature.",
    ),
    "consistency": Home(
        "gigacast.cli.feature_store.trust",
        "Backfill the logged requests of NAME, a join or group-by, and compare the answers; exit "
        "code 1 if any differs.",
    ),
    "stats": Home(
        "gigacast.cli.feature_store.stats",
        "Describe each day of the table of NAME: nulls, totals, percentiles; and find drift.",
    ),
    "compare": Home(
        "gigacast.cli.feature_store.stats",
        "Compare the tables FIRST and SECOND by keys; exit code 1 if a row or value differs.",
    ),
    "stream": Home(
        "gigacast.cli.feature_store.stream",
        "Apply the topic of the group-by NAME to its served features, until it is stopped.",
    ),
    "serve": Home(
        "gigacast.cli.feature_store.serve",
        "Answer requests for features over HTTP, until it is stopped.",
    ),
}
"""Commands of the group `feature-store`."""
