"""Centring of contexts: exact, reversible, and without effect on ordinary magnitudes."""

import pytest

torch = pytest.importorskip("torch")

from gigacast.forecasters.network.centring import centre_contexts  # noqa: E402


def rows(*values: list[float]) -> "torch.Tensor":
    return torch.tensor(values, dtype=torch.float32)


def test_centring_is_reversible_to_the_last_bit():
    context = rows([1e30, 2e30, -3e30], [1e-30, 2e-30, 5e-30], [1e6, 1e6 + 1, 1e6 + 2], [0, 0, 0])
    for centre in (True, False):
        centred = centre_contexts(context, centre=centre)
        assert torch.equal(centred.from_model(centred.context), context)


def test_missing_values_stay_missing_and_do_not_count():
    centred = centre_contexts(rows([torch.nan, 2.0, 4.0]), centre=True)
    assert centred.context[0, 1:].tolist() == [-1.0, 1.0]
    assert centred.context[0].isnan().tolist() == [True, False, False]


def test_ordinary_magnitudes_are_not_scaled():
    context = rows([0.5, 3.0, -700.0])
    centred = centre_contexts(context, centre=False)
    assert torch.equal(centred.context, context)
    assert centred.factor.item() == 1


def test_extreme_magnitudes_become_about_one():
    centred = centre_contexts(rows([3e35, -1e35], [3e-35, -1e-35]), centre=False)
    peaks = centred.context.abs().amax(dim=1)
    assert ((peaks >= 1) & (peaks < 2)).all()


def test_a_constant_becomes_exactly_zero():
    centred = centre_contexts(torch.full((1, 333), 0.1), centre=True)
    assert not centred.context.any()


def test_quantiles_of_several_levels_are_restored():
    centred = centre_contexts(rows([10.0, 20.0], [1.0, 3.0]), centre=True)
    restored = centred.from_model(torch.zeros(2, 3, 4))
    assert restored[:, 0, 0].tolist() == [15.0, 2.0]
    assert restored.shape == (2, 3, 4)
