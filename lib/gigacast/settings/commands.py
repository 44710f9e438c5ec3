"""The table of options that are no settings: those of all commands."""

from collections.abc import Mapping
from typing import Any

from gigacast.settings.command import (
    anomalies,
    backtest,
    common,
    data,
    feature_store,
    forecast,
    models,
    quality,
    reconciliation,
    selection,
    settings,
    training,
)
from gigacast.settings.command.texts import GENERAL_TEXTS, setting_for
from gigacast.settings.flag import rows_of
from gigacast.settings.option import Option
from gigacast.settings.options import names_of

TEXTS = {**GENERAL_TEXTS, "finetune": training.TEXTS}
"""Help of settings that mean something else to a command, by command and name."""

CLASSES: Mapping[str, type[Any]] = {
    "config-flag": common.ConfigOption,
    "json-flag": common.JsonOption,
    "quiet-flag": common.QuietOption,
    "log-flag": common.LogOption,
    "report-flag": common.ReportOption,
    "report-flags": common.ReportRunOptions,
    "serve-report-flags": common.ServeReportOptions,
    "why-flag": common.ReasonOption,
    "yes-flag": common.DeletionOption,
    "forecast-flags": forecast.ForecastFlags,
    "plan-flags": forecast.PlanFlags,
    "demo-flags": forecast.DemoOptions,
    "show-flags": forecast.SeriesOptions,
    "spec-flag": forecast.SpecOption,
    "list-flags": forecast.ListOptions,
    "init-flags": settings.InitOptions,
    "config-show-flags": settings.ConfigShowOptions,
    "plot-flags": forecast.PlotOptions,
    "read-flags": forecast.ReadOptions,
    "verify-flags": forecast.VerifyOptions,
    "prune-flags": forecast.PruneOptions,
    "logs-flags": forecast.LogsOptions,
    "backtest-flags": backtest.BacktestFlags,
    "evaluate-flags": backtest.EvaluateOptions,
    "anomaly-flags": anomalies.AnomalyFlags,
    "gate-flags": backtest.GateOptions,
    "download-flags": models.DownloadOptions,
    "publish-model-flags": models.PublishModelOptions,
    "switch-flags": models.SwitchOptions,
    "backup-flags": models.BackupOptions,
    "delete-flags": models.DeleteModelOptions,
    "diff-flags": models.DiffModelOptions,
    "select-flags": selection.SelectOptions,
    "reconcile-flags": reconciliation.ReconcileOptions,
    "training-flags": training.TrainingOptions,
    "training-run": training.FinetuneRunOptions,
    "training-version": training.FinetuneVersionOptions,
    "training-data": training.FinetuneFlags,
    "pretrain-flags": training.PretrainOptions,
    "schema-flag": data.SchemaOption,
    "contract-flags": data.ContractOptions,
    "codec-flags": data.CodecOptions,
    "bucket-flags": data.BucketOptions,
    "import-flags": data.ImportOptions,
    "publish-flags": data.PublishDataOptions,
    "discover-flags": data.DiscoverOptions,
    "infer-flags": data.InferOptions,
    "features-flags": data.FeaturesOptions,
    "deprecate-flags": data.DeprecateOptions,
    "retire-flags": data.RetireOptions,
    "file-job-flags": quality.FileJobOptions,
    "outlier-flags": quality.OutlierLimits,
    "accuracy-flag": quality.AccuracyOption,
    "clean-flags": quality.CleanFlags,
    "compile-flags": feature_store.CompileOptions,
    "analyze-flags": feature_store.AnalyzeOptions,
    "lineage-flags": feature_store.LineageOptions,
    "backfill-flags": feature_store.BackfillOptions,
    "label-flags": feature_store.LabelOptions,
    "features-flag": feature_store.FeaturesOption,
    "online-flags": feature_store.OnlineOptions,
    "log-flags": feature_store.LogOptions,
    "upload-flags": feature_store.UploadOptions,
    "fetch-flags": feature_store.FetchOptions,
    "status-flags": feature_store.StatusOptions,
    "stats-flags": feature_store.StatsOptions,
    "compare-flags": feature_store.CompareOptions,
    "stream-flags": feature_store.StreamOptions,
    "serve-flags": feature_store.ServeOptions,
}
"""Classes of the options of single commands, by the words that name their tables in the guide."""

TRAIN_SHARED = (
    *names_of("where"),
    *("years", "months", "symbol", "timeframe", "partition_by", "limit"),
    *("model", "model_version", "horizon", "context_length"),
    *names_of("columns", "csv"),
    *("past_covariates", "known_covariates", "known_calendar", "known_holidays"),
    "unsupported_covariates",
    *("freq", "aggregate", "partial_bins", "zone", "duplicates", "min_length", "seed"),
    *("device", "precision", "batch_size", "memory_limit"),
)
"""Names of the settings that fine-tuning shares with forecasting."""


TRAIN_KEYWORDS: tuple[Option, ...] = (
    *(setting_for("finetune", name) for name in TRAIN_SHARED),
    *rows_of(training.TrainingOptions),
    *rows_of(training.FinetuneRunOptions),
    *rows_of(training.FinetuneVersionOptions),
)
"""Options of `gigacast.finetune`."""
