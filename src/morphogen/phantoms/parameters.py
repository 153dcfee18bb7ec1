"""Parameters that a person can set, as listings show them."""

from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind of phantom, or of an instrument.

    Attributes:
        name: as passed to ``phantom``.
        default: its value where none is given; None where it is chosen to suit.
        low: smallest allowed value.
        high: largest allowed value.
        description: what it means, with its unit.
    """

    name: str
    default: float | None
    low: float
    high: float
    description: str


def listed_parameters(settings: type[BaseModel]) -> tuple[Parameter, ...]:
    """The parameters that settings have; all of them numbers or switches."""
    listed = []
    for name, field in settings.model_fields.items():
        limits = {
            side: float(getattr(bound, side))
            for bound in field.metadata
            for side in ("ge", "gt", "le")
            if hasattr(bound, side)
        }
        default = None if field.default is None else float(field.default)
        low = limits.get("ge", limits.get("gt", 0.0))
        listed.append(Parameter(name, default, low, limits.get("le", 1.0), field.description or ""))
    return tuple(listed)
