"""Plant roots in a scan or behind glass: gravity points down, so only left and right may change places.

Margins: length, cover and diameters within a tenth, counts of tips and branches within a fifth, angles within five
degrees: about what two people who trace the same scan by hand agree to. What has
no natural zero, such as grey levels, may differ by half of the standard deviation between measured fields.
"""

from types import MappingProxyType

from morphogen.specimens.specimen import TEXTURE, TEXTURE_MARGINS, Margin, Phrase, Specimen, Wording

_TENTH, _FIFTH, _HALF = Margin(0.1, "mean"), Margin(0.2, "mean"), Margin(0.5, "spread")

SPECIMEN = Specimen(
    name="root",
    phase="root",
    phase_is="bright",
    fraction="root area fraction",
    symmetries=frozenset({"flip_horizontal"}),
    lighting_varies=True,
    descriptors=(
        "phase_fraction",
        "two_point_correlation",
        "root_length",
        "root_diameters",
        "root_topology",
        "root_orientation",
        "orientation",
        "fractal_dimension",
        "hull_area",
        *TEXTURE,
    ),
    wording=Wording(
        "scan of plant roots in soil",
        (
            Phrase(
                "phase_fraction",
                "root area fraction",
                ("few roots {value:.3f}", "many roots {value:.2f}", "dense roots {value:.2f}"),
                (0.05, 0.2),
            ),
            Phrase(
                "root_diameters",
                "root diameter mean",
                (
                    "thin roots of {value:.3g} {unit}",
                    "roots of {value:.3g} {unit}",
                    "thick roots of {value:.3g} {unit}",
                ),
                (3.5, 7.0),
            ),
            Phrase(
                "root_orientation",
                "root angle from vertical",
                ("growing steeply", "", "growing flatly"),
                (30.0, 50.0),
            ),
        ),
    ),
    margins=MappingProxyType(
        {
            "root area fraction": _TENTH,
            "correlation length": _TENTH,
            "correlation length along x": _TENTH,
            "correlation length along y": _TENTH,
            "integral range": _FIFTH,
            "root length density": _TENTH,
            "root diameter mean": _TENTH,
            "root diameter median": _TENTH,
            "root diameter spread": _FIFTH,
            "tips per area": _FIFTH,
            "branch points per area": _FIFTH,
            "crossings per area": _FIFTH,
            "branching angle": Margin(5.0, "value"),
            "root angle from vertical": Margin(5.0, "value"),
            "root angle spread": Margin(5.0, "value"),
            "orientation anisotropy": Margin(0.1, "value"),
            "orientation cos 2θ": Margin(0.1, "value"),
            "orientation sin 2θ": Margin(0.1, "value"),
            "orientation spread": Margin(5.0, "value"),
            "fractal dimension": Margin(0.05, "value"),
            "convex hull share": Margin(0.05, "value"),
            "convex hull area": _TENTH,
            "root solidity": _TENTH,
            "two-point correlation at 4 px": _HALF,
            "two-point correlation at 16 px": _HALF,
            **TEXTURE_MARGINS,
        }
    ),
    criteria=(
        "Roots taper and bend as real roots do.",
        "Laterals leave their parent at plausible places and angles.",
        "Roots end in tips, and are not broken off or dissolved.",
        "Soil, background and lighting look real.",
        "Nothing repeats, and nothing looks drawn.",
    ),
)
