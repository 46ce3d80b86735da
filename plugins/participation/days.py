"""The day that a run works on: its own key or parameter, else the day before today in Europe/Paris."""

from datetime import date, datetime, timedelta

from include.contributions.sources.dates import PARIS
from include.errors import ConfigurationError


def run_day(partition_key: str | None, param_day: str | None = None) -> date | None:
    """Read the day of a run: its partition key, else the parameter.

    Raises:
        ConfigurationError: It is not a day.
    """
    key = partition_key or param_day
    if not key:
        return None
    try:
        return date.fromisoformat(key)
    except ValueError as error:
        raise ConfigurationError(f"{key!r} is not a day: write it as 2026-01-31") from error


def yesterday() -> date:
    """Return the day before today in Europe/Paris, by the clock of this machine.

    It only chooses which day to look at. What counts time (leases, claims, ages) goes by the
    clock of the database.
    """
    return datetime.now(PARIS).date() - timedelta(days=1)
