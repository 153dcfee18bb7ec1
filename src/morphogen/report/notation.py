"""How numbers are written: no more digits than their interval deserves.

The half-width of the interval keeps two digits where they are 35 or less and one otherwise, and the value
is rounded to the same place (the rule of the Particle Data Group, Phys. Rev. D 110, 030001, 5.3). A number
without an interval keeps three digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SMALLEST_PLAIN, LARGEST_PLAIN, LARGEST_COUNT = 1e-3, 1e6, 1e12
ROUNDING_ERROR = 1e-12
"""What is smaller with both ends of its interval is what computing leaves of a zero."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Rounded:
    """A value and its interval as text, rounded to one place; ``power`` is "" or such as " × 10⁻⁵"."""

    value: str
    low: str
    high: str
    power: str

    def __str__(self) -> str:
        return f"{self.value} [{self.low}, {self.high}]{self.power}"


def rounded(value: float, low: float, high: float) -> Rounded:
    """A value with its interval, each as text to the place that the interval's width allows."""
    largest = max((abs(v) for v in (value, low, high) if math.isfinite(v)), default=0.0)
    if largest < ROUNDING_ERROR:
        value, low, high = (v if math.isnan(v) else 0.0 for v in (value, low, high))
    exponent = 0
    if largest >= ROUNDING_ERROR and not SMALLEST_PLAIN <= largest < LARGEST_PLAIN:
        exponent = math.floor(math.log10(largest))
    scale = 10.0**exponent
    half = (high - low) / 2 / scale
    places = _places(half) if math.isfinite(half) and half > 0 else _three_digits(value / scale)
    return Rounded(
        value=_fixed(value / scale, places),
        low=_fixed(low / scale, places),
        high=_fixed(high / scale, places),
        power=f" × 10{str(exponent).translate(_SUPERSCRIPT)}" if exponent else "",
    )


def number(value: float) -> str:
    """A number without an interval, to three digits; counts as they are."""
    if not math.isfinite(value):
        return _fixed(value, 0)
    if float(value).is_integer() and abs(value) < LARGEST_COUNT:
        return _fixed(value, 0)
    if value and not SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        exponent = math.floor(math.log10(abs(value)))
        return f"{_fixed(value / 10.0**exponent, 2)} × 10{str(exponent).translate(_SUPERSCRIPT)}"
    text = _fixed(value, _three_digits(value))
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """A time span in the largest two units that say something, "12 min 5 s"."""
    if not math.isfinite(seconds):
        return _fixed(seconds, 0)
    if seconds < 60:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(count: int) -> str:
    """A count as a word up to ten, in digits above."""
    return _WORDS[count] if 0 <= count < len(_WORDS) else str(count)


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as in a sentence: "a", "a and b", "a, b and c"."""
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def _places(half_width: float) -> int:
    """Decimals at which the half-width keeps its deserved digits; below zero for tens and hundreds."""
    magnitude = math.floor(math.log10(half_width))
    leading = half_width / 10.0**magnitude
    return (1 if leading <= 3.5 else 0) - magnitude


def _three_digits(value: float) -> int:
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 0


def _fixed(value: float, places: int) -> str:
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value, places = round(value, places), max(0, places)
    text = f"{value:,.{places}f}" if abs(value) >= 10_000 else f"{value:.{places}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")
