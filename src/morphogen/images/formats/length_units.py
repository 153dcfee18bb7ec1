"""Units of length as files name them, in micrometres."""

import math

_MICROMETRES = {
    1e-4: ("angstrom", "ångström", "å", "a"),
    1e-3: ("nm", "nanometer", "nanometre", "nanometers", "nanometres"),
    1.0: ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"),
    1e3: ("mm", "millimeter", "millimetre", "millimeters", "millimetres"),
    1e4: ("cm", "centimeter", "centimetre", "centimeters", "centimetres"),
    25_400.0: ("in", "inch", "inches"),
    1e6: ("m", "meter", "metre", "meters", "metres"),
}
_BY_NAME = {name: factor for factor, names in _MICROMETRES.items() for name in names}


def micrometres(unit: object) -> float:
    """How many micrometres a unit has; NaN if it is none of length that is known, for it is never guessed."""
    if isinstance(unit, bytes):
        unit = unit.decode("utf-8", "replace")
    return _BY_NAME.get(str(unit).strip().strip('"').replace("\\u00b5", "µ").lower(), math.nan)


def length_um(size: object, unit: object) -> float:
    """A length in micrometres; NaN if it is no positive number or its unit is unknown."""
    try:
        value = float(size) * micrometres(unit)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return value if math.isfinite(value) and value > 0 else math.nan
