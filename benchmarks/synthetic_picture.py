"""Draw three series of each synthetic family into docs/img/synthetic.png. Run it by hand."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from gigacast.synthetic import FAMILIES, Mixture, generate

TARGET = Path(__file__).parents[1] / "docs" / "img" / "synthetic.png"
LENGTH, SAMPLES, COLUMNS, SEED = 384, 3, 3, 4


def main() -> None:
    rows = -(-len(FAMILIES) // COLUMNS)
    figure, panels = plt.subplots(rows * SAMPLES, COLUMNS, figsize=(15, 1.05 * rows * SAMPLES))
    for panel in panels.flat:
        panel.set_axis_off()
    for place, name in enumerate(FAMILIES):
        values = generate(SAMPLES, LENGTH, SEED, mixture=Mixture.of(name)).values
        for sample, series in enumerate(values):
            panel = panels[place // COLUMNS * SAMPLES + sample, place % COLUMNS]
            panel.plot(series, linewidth=0.8, color="#1f5fa8")
            if sample == 0:
                panel.set_title(name, fontsize=11, loc="left", pad=3)
    figure.tight_layout(h_pad=0.2)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=70)


if __name__ == "__main__":
    main()
