"""Tables of public holidays, from the package that knows them."""

import sys
from datetime import date

import pytest

from gigacast.errors import ConfigError, MissingExtraError
from gigacast.job.holidays import holiday_table


def test_a_table_names_the_usual_holidays_and_keeps_the_others() -> None:
    holidays = pytest.importorskip("holidays")
    table = holiday_table("GB")
    assert {"Christmas Day", "Good Friday", "Boxing Day"} <= set(table.names)
    assert not any("(" in name for name in table.names), "no column for kept days of their own"
    library = holidays.country_holidays("GB", years=range(2000, 2031))
    epoch = date(1970, 1, 1)
    expected = {(day - epoch).days for day in library}
    own = {int(day) for day in table.all_days if min(expected) <= day <= max(expected)}
    assert own == expected
    assert holiday_table("GB-SCT").digest != table.digest


def test_an_unknown_country_is_refused() -> None:
    pytest.importorskip("holidays")
    with pytest.raises(ConfigError, match="'Atlantis' is no country"):
        holiday_table("Atlantis")
    with pytest.raises(ConfigError, match="'GB-XX' is no country"):
        holiday_table("GB-XX")


def test_without_the_package_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MissingExtraError) as refused:
        holiday_table.__wrapped__("GB")
    assert "gigacast[calendar]" in (refused.value.hint or "")
