"""Change between two dates."""

from __future__ import annotations

import datetime as dt
import math

from radfind.errors import InputError


def doubling_time_days(first_mm3: float, second_mm3: float, first: dt.date, second: dt.date) -> float:
    """Volume doubling time in days: t ln 2 / ln(V2 / V1) (Schwartz, Cancer 1961;14:1272).

    Negative when the lesion shrinks (the time in which it halves), infinite when it stays.

    Raises:
        InputError: a volume is not positive, or the dates are not in order.
    """
    if min(first_mm3, second_mm3) <= 0 or not math.isfinite(first_mm3 + second_mm3):
        raise InputError("A doubling time needs two volumes above zero; one of them is not.")
    days = (second - first).days
    if days <= 0:
        raise InputError(f"The second date ({second}) must be later than the first ({first}).")
    growth = math.log(second_mm3 / first_mm3)
    return math.inf if growth == 0 else days * math.log(2.0) / growth
