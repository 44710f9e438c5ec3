"""The modules that decide numbers and "done", each with the unit tests that must kill mutants."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.mutants.mutate import Mutant

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
_LIB, _TESTS = ROOT / "lib", ROOT / "tests" / "unit"

_DONE = (
    "lake/test_planner.py",
    "lake/test_planner_counts.py",
    "lake/test_planner_crash.py",
    "lake/test_planner_order.py",
)
_STORE = "feature_store/aggregation/"
_KERNEL = (f"{_STORE}test_range_parts.py", f"{_STORE}test_kernel.py")
_AROUND = "forecasters/around/"
_BINS = (
    "core/test_bins.py",
    "series/aggregation/test_aggregate.py",
    "series/aggregation/test_wall.py",
)
_PLAIN = ("forecasters/plain/test_plain_parts.py",)

TARGETS: dict[str, tuple[str, ...]] = {
    # numbers
    "forecasters.metric": ("forecasters/test_metric.py",),
    "forecasters.batching": (
        "forecasters/test_batching_groups.py",
        "forecasters/test_batching.py",
    ),
    "forecasters.levels": ("forecasters/test_levels.py", "forecasters/test_postprocess.py"),
    "forecasters.portfolio.forecaster": ("forecasters/portfolio/test_portfolio.py",),
    "selection.decision": ("selection/test_decision.py",),
    "reconciling.projection": ("reconciling/test_projection.py",),
    "core.time.frequency": ("core/test_frequency.py",),
    "series.inference": ("series/test_inference.py", "series/test_inference_oracle.py"),
    "series.regularise": ("series/test_regularise.py", "series/test_duplicates.py"),
    "core.contract.check": ("core/test_contract_check.py", "core/test_contract.py"),
    "feature_sets.kernel.window": ("feature_sets/test_window.py",),
    "feature_store.aggregation.kernel": _KERNEL,
    "feature_store.aggregation.timeline": (f"{_STORE}test_timeline.py",),
    "feature_store.aggregation.range_operation": _KERNEL,
    "feature_store.aggregation.tile": (f"{_STORE}test_tile.py",),
    "feature_store.definition.window_edge": ("feature_store/definition/test_window_edge.py",),
    "anomalies.kernel": ("anomalies/test_kernel.py",),
    "backtesting.evaluation.join": ("backtesting/test_evaluation_join.py",),
    "backtesting.evaluation.scale": ("backtesting/test_evaluation_scale.py",),
    "reporting.accuracy": ("reporting/test_accuracy.py",),
    "reporting.anomaly": ("reporting/test_anomaly.py",),
    "reporting.publication": ("reporting/test_publication.py",),
    "forecasters.chronos2.input": ("forecasters/chronos2/test_chronos2_equality.py",),
    "forecasters.chronos2.forward": ("forecasters/chronos2/test_chronos2_equality.py",),
    "forecasters.network.groups": ("forecasters/chronos2/test_chronos2_equality.py",),
    "settings.doors": ("settings/test_doors.py",),
    "forecasting.refresh.probe": ("forecasting/test_probe.py",),
    "job.engine_choice": ("job/test_engine_choice.py",),
    "forecasters.engine": ("forecasters/engines/test_choice.py", "job/test_model_choice.py"),
    "forecasters.around.calibration": (f"{_AROUND}test_calibration.py",),
    "forecasters.around.change": (f"{_AROUND}test_enhancement.py",),
    "forecasters.around.enhancement": (f"{_AROUND}test_enhancement.py",),
    "forecasters.around.horizon": (f"{_AROUND}test_horizon.py",),
    "forecasters.around.pool": (f"{_AROUND}test_pool.py",),
    "core.series.base": ("core/test_series_base.py",),
    "forecasters.plain.forward": _PLAIN,
    "forecasters.plain.patches": _PLAIN,
    "forecasters.plain.unrolling": _PLAIN,
    "backtesting.calibration": ("backtesting/test_calibration.py",),
    "series.duplicates": ("series/parts/test_duplicate_parts.py", "series/test_duplicates.py"),
    "series.apart": ("series/parts/test_apart.py", "series/test_duplicates.py"),
    "series.fit": ("series/parts/test_fit_parts.py", "series/test_fit.py"),
    "series.aggregation.aggregate": (
        "series/aggregation/test_span.py",
        *_BINS,
        "quality/test_aggregation.py",
    ),
    "series.aggregation.reduce": ("series/aggregation/test_reduce.py",),
    "series.aggregation.wall": _BINS,
    "core.time.bins": _BINS,
    "bucketing.partition": ("bucketing/test_bucket_parts.py",),
    "forecasting.stored.choice": ("forecasting/test_stored_choice.py",),
    "forecasting.stored.recipe": ("forecasting/test_stored_recipe.py",),
    "forecasting.stored.search": ("forecasting/test_stored_search.py",),
    # "done"
    "lake.plan.planner": (*_DONE, "lake/columns/test_plain_months.py"),
    "lake.plan.listing": _DONE,
    "lake.plan.discovery": ("lake/test_discovery.py", "lake/test_planner.py"),
    "lake.plan.months": ("lake/test_months.py", "lake/test_planner_order.py"),
    "lake.plan.origin": ("lake/test_origin.py",),
    "lake.plan.receipt": ("lake/test_receipt.py", "lake/test_records.py"),
    "lake.plan.manifest": ("lake/test_manifest.py", "lake/test_records.py"),
    "forecasting.manifest": ("forecasting/test_manifest.py",),
    "lake.table.part": ("lake/test_table_part.py",),
    "lake.table.output": ("lake/test_table_output.py",),
    "core.partition.spec": ("core/test_spec.py",),
    "core.partition.name": ("core/test_partition.py",),
    "job.run": ("job/test_run.py", "job/test_run_audit.py", "job/test_outage.py"),
    "job.worker": ("job/test_worker.py",),
    "job.calibration": ("job/test_calibration.py",),
    "bucketing.run": ("bucketing/test_bucket_run.py",),
    "core.page": ("core/footer/test_page.py",),
    "core.series.digest": ("core/test_series_digest.py",),
    "forecasting.refresh.former": ("forecasting/test_refresh_former.py",),
    "forecasting.refresh.note": ("forecasting/test_refresh_note.py",),
    "forecasting.refresh.task": ("forecasting/test_refresh_task.py",),
}
"""Tests by module, the fastest first: modules below ``gigacast``, tests below ``tests/unit``.

Modules whose parts make no sense alone have the tests of their flow.
"""


@dataclass(frozen=True)
class Target:
    """A module and its tests.

    Parameters
    ----------
    module : str
        Dotted name.
    file : Path
    tests : tuple of str
    """

    module: str
    file: Path
    tests: tuple[str, ...]

    @property
    def source(self) -> str:
        """Text of the module."""
        return self.file.read_text()


def find_targets(names: list[str]) -> list[Target]:
    """Return the targets whose name contains one of some texts; all without texts."""
    return [
        Target(
            f"gigacast.{module}",
            _LIB / "gigacast" / f"{module.replace('.', '/')}.py",
            tuple(str(_TESTS / test) for test in tests),
        )
        for module, tests in TARGETS.items()
        if not names or any(name in module for name in names)
    ]


def read_equivalent(path: Path = EQUIVALENT) -> dict[Mutant, str]:
    """Return the mutants that change nothing that a user could see, with the reason of each.

    A module's entry has its functions, a function's its mutants: ``before``, ``after``, ``reason``,
    and ``nth`` where the function has several equal places.
    """
    reasons: dict[Mutant, str] = {}
    for module, functions in (yaml.safe_load(path.read_text()) or {}).items():
        for function, entries in functions.items():
            for entry in entries:
                mutant = Mutant(
                    f"gigacast.{module}",
                    function if function != "MODULE" else "",
                    entry["before"],
                    entry["after"],
                    entry.get("nth", 0),
                )
                reasons[mutant] = entry["reason"]
    return reasons
