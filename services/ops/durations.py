"""Durations and moments as operators write them: 30m, 12h, 90d, 2026-11-23T09:15:00Z."""

import re
from datetime import UTC, datetime, timedelta

from services.ops.faults import OperatorMistake

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_duration(text: str) -> timedelta:
    """Raises OperatorMistake."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise OperatorMistake(f"{text!r} is not a duration: write 45s, 30m, 12h or 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def read_moment(text: str, now: datetime) -> datetime:
    """A time, UTC unless it says otherwise, or a duration before `now`. Raises OperatorMistake."""
    if _DURATION.fullmatch(text):
        try:
            return now - read_duration(text)
        except OverflowError:
            raise OperatorMistake(f"{text!r} ago is before all time") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OperatorMistake(
            f"{text!r} is neither a time (2026-11-23T09:15:00Z) nor a duration (10m)"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
