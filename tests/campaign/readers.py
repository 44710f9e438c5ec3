"""The modules that read JSON or YAML, each with the place where it is tried on damage.

A module that reads a stored record joins with the prefix of `tests.campaign.sweep.READERS` that
damages it, the name of a file in `tests.campaign.fuzz.FILES`, or the file of the tests that do.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import gigacast

PACKAGE = Path(gigacast.__file__).parent
_DECODERS = {"decode_json", "decode_sealed", "decode_yaml", "parse_json"}
_RECORDS = "tests/unit/lake/test_damaged_records.py"
_STATE = "tests/flow/test_damaged_state.py"
_ASKED = "tests/flow/cli/test_hostile_text.py"

WHERE: dict[str, str] = {
    "anomalies/panel": "anomalies/",
    "anomalies/stored": "anomalies/",
    "bucketing/partition": "bucketing/",
    "bucketing/run": "bucketing/",
    "cleaning/partition": "cleaning/",
    "cli/feature_store/online": _ASKED,
    "cli/models/command": _ASKED,
    "core/contract/definition": "contract",
    "core/json_table": "JSON",
    "core/series/item_key": "forecasts/",
    "datasets/describe": "cleaned/",
    "feature_sets/build": "recipe",
    "feature_sets/kernel/scaling": _RECORDS,
    "feature_store/client": "tests/flow/feature_store/test_serving.py",
    "feature_store/definition/json": "compiled definition",
    "feature_store/document": "compiled definition",
    "feature_store/offline/left": "feature_store/surveys/",
    "feature_store/online/serving": "tests/unit/feature_store/online/test_damaged_pointer.py",
    "feature_store/repository": "tests/unit/feature_store/test_compile.py",
    "feature_store/stream/encoding": "tests/unit/feature_store/stream/test_encoding.py",
    "feature_store/trust/log_days": "tests/flow/feature_store/test_consistency.py",
    "feature_store/trust/logged": "tests/flow/feature_store/test_consistency.py",
    "forecasters/chronos/lora": "tests/unit/forecasters/chronos/test_lora.py",
    "forecasters/config": "configuration of a model",
    "forecasters/openvino/scales": "tests/unit/forecasters/engines/test_int8.py",
    "forecasters/portfolio/recipe": "tests/unit/forecasters/portfolio/test_portfolio.py",
    "forecasters/timegpt/api": "tests/unit/forecasters/engines/test_timegpt.py",
    "forecasting/file": "JSON",
    "forecasting/stored/recipe": "forecasts/",
    "job/calibration": "calibrations/",
    "job/spec": "plan",
    "lake/dataset/catalog": _STATE,
    "lake/dataset/manifest": "manifest of a dataset",
    "lake/dataset/metadata": "cleaned/",
    "lake/lease": "tests/flow/batch/test_array_schedule.py",
    "lake/model/active": "active version",
    "lake/model/file": "weights",
    "lake/model/manifest": "manifest of a model",
    "lake/plan/audit": "audit",
    "lake/plan/plan_file": "plan",
    "lake/plan/receipt": "receipt",
    "lake/publication": "tests/contract/test_dataset_crash.py",
    "lake/table/delta": "tests/flow/tables/test_deleted_rows.py",
    "lake/turn": "tests/flow/batch/test_array_schedule.py",
    "parquet_loader/discovery": _STATE,
    "quality/measures": "quality/",
    "reporting/accuracy": "evaluations/",
    "reporting/anomaly": "anomalies/",
    "reporting/publication": "reports/",
    "reporting/stored": "tests/flow/reporting/test_outcomes.py",
    "settings/load": "settings",
    "settings/loader": "settings",
    "settings/turn": "settings",
    "trainers/pretraining/config": "tests/unit/trainers/test_pretraining.py",
    "training/run": "tests/flow/training/test_train_commands.py",
    "handler/arrival": "tests/flow/batch/test_array_schedule.py",
}
"""Places by module."""


def modules_that_read() -> set[str]:
    """Return the modules that decode JSON or YAML, but for those which do it for all."""
    return set(_modules_that_read()) - {"core/record", "core/sealed"}


def _modules_that_read() -> Iterator[str]:
    handlers = PACKAGE.parents[1] / "handler"
    for path in [*PACKAGE.rglob("*.py"), *handlers.glob("*.py")]:
        root = PACKAGE if path.is_relative_to(PACKAGE) else handlers.parent
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in _DECODERS):
            continue  # most are not parsed
        for node in ast.walk(ast.parse(text)):
            imported = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            if _DECODERS & set(imported):
                yield path.relative_to(root).with_suffix("").as_posix()
