"""Section ``report`` of the settings: pages for people, names in results."""

from typing import Literal

from gigacast.settings.field import Section, option


class ReportSettings(Section):
    """Pages under ``reports/``, and names of columns that are given back."""

    write: bool = option(
        False, "Write a page of each run and result under reports/, as --report does."
    )
    names: Literal["own", "nixtla"] = option(
        "own",
        "Names of the columns of forecasts that are returned or written to a file: own, or nixtla "
        "(unique_id, ds, the model's name). Stored forecasts keep their own.",
    )
