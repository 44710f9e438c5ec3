"""The parts of the benchmarks that do not measure: counting, dividing, drawing."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(FOLDER)
        return importlib.import_module(name)

    return load


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm>", "products"),
        ("fmha_cutlassF_bf16_aligned_64x64_rf_sm80", "attention"),
        ("void at::native::vectorized_elementwise_kernel<4>", "other kernels"),
    ],
)
def test_kernels_are_classified_by_their_names(load: Any, kernel: str, kind: str) -> None:
    assert load("gpu").kind_of(kernel) == kind


def test_time_without_a_kernel_is_waiting_for_the_host(load: Any) -> None:
    gpu = load("gpu")
    kernels = {"gemm": 2.0, "elementwise": 1.0, "Memcpy DtoH": 5.0}
    shares = gpu.share_seconds(kernels, 4.0)
    assert shares["waiting for the host"] == pytest.approx(1.0)
    assert gpu.busy_share(shares) == pytest.approx(0.75)
    assert gpu.busy_share(gpu.share_seconds({"gemm": 9.0}, 4.0)) == 1.0


def test_the_series_a_gpu_is_fed_with_can_be_forecast(load: Any) -> None:
    from gigacast.forecasters.batching import ForecastOptions, forecast_batch
    from gigacast.forecasters.naive import SeasonalNaive

    batch = load("gpu").series_batch(3, 20)
    forecast = forecast_batch(SeasonalNaive(), batch, ForecastOptions(7))
    assert np.isfinite(forecast.quantiles).all()
    assert not forecast.reasons.any()


def test_without_a_gpu_its_benchmark_reports_that() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    process = subprocess.run(
        [sys.executable, FOLDER / "gpu.py"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert "no CUDA device on this machine" in process.stderr


TABLE = """bolt-tiny, lengths [100, 200], h=7, 1 core(s)

1,000 series          whole s series/s ratio | work s series/s ratio |   load   read predict  write | peak MiB
gigacast, auto, 1 job(s)         2.0      500  2.20 |    1.4      733  0.86 |    0.0    0.2    0.3    0.0 |      517
script, batch 256 (default)      4.4      225  1.00 |    1.2      851  1.00 |    2.6    0.1    1.1    0.0 |    1,593
script, bfloat16, batch 128      4.0      248  1.10 |    0.6    1,620  1.90 |    2.6    0.0    0.6    0.0 |      532
"""  # noqa: E501 - as it is printed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "printed.txt"
    path.write_text(TABLE)
    return path


def test_a_printed_table_is_read_as_it_was_measured(load: Any, table: Path) -> None:
    rows = load("plots").read_rows(table)
    assert [(row["way"], row["series"], row["whole_s"], row["peak_mib"]) for row in rows] == [
        ("gigacast, auto", 1000, 2.0, 517.0),
        ("script, default batch", 1000, 4.4, 1593.0),
        ("script, bfloat16", 1000, 4.0, 532.0),
    ]
    assert rows[1]["stages"] == {"load": 2.6, "read": 0.1, "predict": 1.1, "write": 0, "work": 1.2}


def test_ratios_are_to_the_better_script(load: Any, table: Path) -> None:
    plots = load("plots")
    ways = plots.by_way(plots.with_best(plots.read_rows(table)))
    assert plots.ratios(ways, "gigacast, auto") == {1000: pytest.approx(2.2)}
    assert plots.ratios(ways, "script, best batch") == {1000: 1.0}


def test_stages_and_remaining_time_add_up_to_the_total(load: Any, table: Path) -> None:
    plots = load("plots")
    for row in plots.read_rows(table):
        assert sum(plots.stage_seconds(row).values()) == pytest.approx(row["whole_s"])


def test_plots_are_drawn(load: Any, table: Path, tmp_path: Path) -> None:
    plots = load("plots")
    ways = plots.by_way(plots.with_best(plots.read_rows(table)))
    for draw in (plots.draw_speed, plots.draw_memory, plots.draw_stages):
        draw(ways, tmp_path)
    for name in ("speed", "memory", "stages"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_without_rows_is_refused(load: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("nothing")
    with pytest.raises(SystemExit, match="no rows"):
        load("plots").read_rows(tmp_path / "empty.txt")


def test_only_machines_of_the_measured_kind_get_a_speed(load: Any) -> None:
    from gigacast.core.cost.price import Instance

    cost = load("cost")
    cpu, gpu = Instance("c", 16, 0, 0.7), Instance("p", 192, 8, 55.0)
    assert cost.machine_rate(cpu, 4000, vcpus=2, gpus=0) == 32_000
    assert cost.machine_rate(gpu, 4000, vcpus=2, gpus=0) is None
    assert cost.machine_rate(gpu, 4000, vcpus=1, gpus=1) == 32_000
    assert cost.machine_rate(cpu, 4000, vcpus=1, gpus=1) is None


def test_every_division_of_the_cores_is_tried(load: Any) -> None:
    assert load("threads").divisions(4) == [(1, 4), (2, 2), (4, 1), (1, 2)]
    assert load("threads").divisions(1) == [(1, 1)]
