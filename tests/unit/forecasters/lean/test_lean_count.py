"""The operation count against torch's own counter."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from gigacast.forecasters.config import read_model_config  # noqa: E402
from gigacast.forecasters.lean import linear  # noqa: E402
from gigacast.forecasters.lean.shape import count_operations, read_shape  # noqa: E402
from tests.support.tiny_models import session_folder  # noqa: E402
from tests.unit.forecasters.lean.lean_models import SIZES, SMALLEST, load_ours, save_bolt  # noqa: E402


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(autouse=True)
def plain_products(monkeypatch: pytest.MonkeyPatch):
    """Torch does not count packed products, which AMD processors compute in float32, too."""
    monkeypatch.setattr(linear, "_can_pack", lambda _: False)


def counted(folder: Path, rows: int, steps: int, horizon: int) -> int:
    """Let torch count; attention is spelled out, for its fused form is not counted on a CPU."""
    model = load_ours.__wrapped__(folder)._model  # not one with packed products in a cache
    context = torch.randn(rows, steps)
    counter = FlopCounterMode(display=False)
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.inference_mode(False), torch.no_grad(), plain, counter:
        model(context, horizon, masked=False)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("steps", "horizon"), [(16, 1), (96, 7), (160, 64), (240, 30), (1008, 64), (1, 3)]
)
def test_operations_per_series_equal_torchs_count(steps: int, horizon: int, root: Path):
    folder = save_bolt(root, SMALLEST)
    shape = read_shape(read_model_config(folder))
    one_more = counted(folder, 5, steps, horizon) - counted(folder, 4, steps, horizon)
    # Keys are filled up to whole lanes where that is faster: work that the count leaves out.
    assert one_more == pytest.approx(count_operations(shape, steps, horizon), rel=0.03)


def test_the_tiny_model_takes_about_a_hundred_million_operations_for_208_steps(root: Path):
    shape = read_shape(read_model_config(save_bolt(root, SIZES["tiny"])))
    assert 0.8e8 < count_operations(shape, 208, 64) < 1.3e8
    assert count_operations(shape, 208, 7) < count_operations(shape, 208, 64)
    assert count_operations(shape, 2048, 64) > 9 * count_operations(shape, 208, 64)
