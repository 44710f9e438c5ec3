"""A forecast drawn with characters: whole small pictures, and what must not break them."""

from typing import Any

import numpy as np
import pytest

from gigacast.backtesting.leaderboard.result import calibration_figure
from gigacast.report.document import Document, Figure
from gigacast.report.plot.panel import ForecastPanel
from gigacast.report.plot.terminal import ASCII, UNICODE, draw_figure
from gigacast.report.terminal import render_terminal

WAVE = np.array([0, 2, 4, 3, 1] * 4, dtype=float)
DAYS = np.datetime64("2014-03-01") + np.arange(20)
SPREAD = np.outer([1, 1, 1.5, 1.5, 2, 2], [-1, -0.5, 0, 0.5, 1])


def terminal_plot(panel: ForecastPanel, **options: Any) -> str:
    return draw_figure(panel.to_figure(), **options)


def panel(**changes: Any) -> ForecastPanel:
    values: dict[str, Any] = {
        "title": "EURUSD",
        "context_times": DAYS[:14],
        "context": WAVE[:14],
        "times": DAYS[14:],
        "median": WAVE[14:],
        "levels": (0.1, 0.3, 0.5, 0.7, 0.9),
        "quantiles": WAVE[14:, None] + SPREAD,
    }
    return ForecastPanel(**{**values, **changes})


def bare(**changes: Any) -> ForecastPanel:
    return panel(levels=(), quantiles=None, **changes)


def names_of(figure: Figure, role: str) -> list[str]:
    return [curve.name for curve in figure.of_role(role)]


def test_a_forecast_is_drawn_in_braille() -> None:
    assert terminal_plot(panel(), width=44, height=12) == (
        """\
EURUSD
5 ┤                            ┊      ░░░
  │     ⡀         ⡀         ⢀  ┊      ⢀▒░░
  │    ⡸⠘⢄       ⢰⠉⠢⡀      ⢀⠇⠣⡀┊     ░⡞⠳⣄░
  │   ⡰⠁  ⢣     ⢠⠃  ⠱⡀    ⢀⠎  ⠸⡄    ░⡼⠁░⠘⣆░
  │  ⢠⠃   ⠈⢆   ⢀⠎    ⢣    ⡜    ⢳⡀  ░⣰⠃  ░⠸⡄
  │ ⢀⠇     ⠈⢆  ⡜      ⢇  ⡸     ┊⢳⡀░⢠⠇    ░⢹
0 ┤ ⡎        ⠣⡜        ⠑⢴⠁     ┊ ⠹⣤⠏      ░
  │                            ┊  ⠈
  └─┬─────────────────────────────────────┬─
    2014-03-01                  2014-03-20
   ⠒⠒ context   ⠶⠶ median   ░░ 80%   ▒▒ 40%"""
    )


def test_a_forecast_with_actuals_is_drawn_in_ascii() -> None:
    panel_data = panel(actuals=np.array([1, 0, 2, np.nan, 3.5, 1]))
    assert terminal_plot(panel_data, width=44, height=13, palette=ASCII) == (
        """\
EURUSD
5 +                            |      ...
  |     *         *         *  |      #:..
  |    ***       * *       * * |     .##o.
  |   *   *      *  **     *  ##    .#..##.
  |   *    *    *    *    *    |#  .o.  .:#
  | **      * **      ** *     |o#.##    .o
0 + *        **        **      | :o:      .
  |                            |  .
  +-+-------------------------------------+-
    2014-03-01                  2014-03-20
   ** context   ## median   .. 80%   :: 40%
   oo actual"""
    )


def test_a_gap_is_drawn_as_a_gap() -> None:
    context = WAVE[:14].copy()
    context[5:8] = np.nan
    rows = terminal_plot(bare(context=context), width=44, height=10).splitlines()[1:-3]
    assert not "".join(row[15:20] for row in rows).strip()


def test_a_constant_series_is_a_line_in_the_middle_with_colours() -> None:
    flat = bare(context=np.full(14, 7.0), median=np.full(6, 7.0))
    assert terminal_plot(flat, width=20, height=8, color=True) == (
        "EURUSD\n"
        "7.5 ┤          \x1b[0;2m┊\x1b[0m\n"
        "7.0 ┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤\x1b[0;1;36m⣤⣤⣤⣤⣤\x1b[0m\n"
        "6.5 ┤          \x1b[0;2m┊\x1b[0m\n"
        "    └┬──────────────\n"
        "     2014-03-01\n"
        "   ⠒⠒ context\n"
        "   \x1b[0;1;36m⠶⠶\x1b[0m median"
    )


@pytest.mark.parametrize(
    ("factor", "labels"),
    [
        (1e-12, ["4e-12", "2e-12", "0"]),
        (1e-2, ["0.04", "0.02", "0.00"]),
        (1e3, ["4,000", "2,000", "0"]),
        (1e38, ["4e+38", "2e+38", "0"]),
    ],
)
def test_huge_and_tiny_values_have_labels_that_differ(factor: float, labels: list[str]) -> None:
    scaled = bare(context=factor * WAVE[:14], median=factor * WAVE[14:])
    rows = terminal_plot(scaled, width=50, height=16).splitlines()
    assert [row.split("┤")[0].strip() for row in rows if "┤" in row] == labels


def test_a_panel_without_finite_values_is_reported() -> None:
    unknown = bare(context=np.full(14, np.nan), median=np.full(6, np.nan))
    assert "no finite value" in terminal_plot(unknown)


@pytest.mark.parametrize("context", [0, 1, 2])
def test_a_short_context_is_drawn(context: int) -> None:
    short = panel(context=WAVE[:context], context_times=DAYS[:context])
    assert "2014-03-20" in terminal_plot(short)


def test_a_panel_without_a_forecast_is_drawn() -> None:
    history = bare(times=DAYS[:0], median=WAVE[:0])
    assert "2014-03-14" in terminal_plot(history)


def test_infinite_quantiles_do_not_move_the_axis() -> None:
    quantiles = WAVE[14:, None] + SPREAD
    quantiles[2, 4] = np.inf
    assert "5 ┤" in terminal_plot(panel(quantiles=quantiles))


def test_times_are_as_precise_as_they_need_to_be() -> None:
    minutes = np.datetime64("2014-03-01T09:30") + np.arange(20)
    plot = terminal_plot(bare(context_times=minutes[:14], times=minutes[14:]))
    assert "2014-03-01 09:30" in plot
    steps = terminal_plot(bare(context_times=np.arange(14), times=np.arange(14, 20)))
    assert steps.splitlines()[-2].split() == ["0", "14", "19"]


@pytest.mark.parametrize("palette", [UNICODE, ASCII])
@pytest.mark.parametrize(("width", "height"), [(20, 6), (80, 16), (200, 60)])
def test_a_plot_keeps_the_requested_width_and_height(palette: Any, width: int, height: int) -> None:
    lines = terminal_plot(panel(), width=width, height=height, palette=palette).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 9)


def test_a_title_cannot_move_the_cursor() -> None:
    drawn = render_terminal(Document((panel(title="a\x1b[2Jb").to_figure(),)))
    assert drawn.startswith("a\\x1b[2Jb\n")


def test_a_panel_of_the_wrong_shape_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"quantiles of panel 'EURUSD' is \(6, 4\), not \(6, 5\)"):
        panel(quantiles=np.zeros((6, 4)))


def test_bands_are_pairs_of_levels_around_the_median_the_widest_first() -> None:
    uneven = panel(levels=(0.1, 0.2, 0.5, 0.8, 0.95))
    assert names_of(uneven.to_figure(), "band") == ["60%"]
    assert names_of(panel().to_figure(), "band") == ["80%", "40%"]


CALIBRATION = calibration_figure(
    (0.1, 0.5, 0.9), {"seasonal-naive": (0.2, 0.5, 0.8), "bolt": (0.1, 0.45, 0.9)}
)


def test_a_calibration_is_drawn_against_the_diagonal() -> None:
    assert draw_figure(CALIBRATION, width=80, height=12) == (
        """\
Share of actuals at or below the quantile
1 ┤                                       ⢀■⠤⠒⠊⠉
  │                                  ⢀⣀⠤⠒⠊⠁●
  │                            ⣀⢀⡠⠤⠒⠊⠁⠊⠉⠁
  │                      ⢀⣀⢀⡠⠤⠒⠉⠁
  │               ⣀⣀⠤⠤⣀⡠⠤■⠉⠁
  │       ⢀⣀⡠⠤⠒⣀⣀⠤⠔⠒⠉⠉
  │    ●⢀⣀⠤⠤⠒⠊⠉
0 ┤⡤⠤⠒⠒■⠁
  └┬───────────────────────────────────────────┬
   0              quantile level              1
   ⠒⠒ calibrated   ●● seasonal-naive   ■■ bolt"""
    )
    assert draw_figure(CALIBRATION, width=40, height=12, palette=ASCII) == (
        """\
Share of actuals at or below the quantile
1 +                                xx...
  |                           xxxxxoo
  |                     .oxxxxoo
  |               ooxxxxxx
  |        ooxxxxxxx
  |   oxxxxxx
0 +...x
  ++-----------------------------------+
   0          quantile level          1
   .. calibrated   oo seasonal-naive
   xx bolt"""
    )


def test_the_last_names_of_a_long_legend_stand_on_further_lines() -> None:
    many = calibration_figure((0.5,), {f"model-{n}": (0.4,) for n in range(12)})
    lines = draw_figure(many, width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).count("model-") == 12
