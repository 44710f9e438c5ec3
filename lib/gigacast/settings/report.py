"""Section ``report`` of the settings: pages for people."""

from gigacast.settings.field import Section, option


class ReportSettings(Section):
    """Pages under ``reports/``."""

    write: bool = option(
        False, "Write a page of each run and result under reports/, as --report does."
    )
