"""Unidirectional fiber composites in microCT, seen in cross-section: bright fibers in a darker matrix.

Margins: volume fraction within 0.02 and diameters within a twentieth are what a laminate's stiffness is computed from;
densities and distances within a tenth; directions within five degrees. What has
no natural zero, such as grey levels, may differ by half of the standard deviation between measured fields.
"""

from types import MappingProxyType

from morphogen.specimens.specimen import TEXTURE, TEXTURE_MARGINS, Margin, Phrase, Specimen, Wording

_TENTH, _FIFTH, _HALF = Margin(0.1, "mean"), Margin(0.2, "mean"), Margin(0.5, "spread")

SPECIMEN = Specimen(
    name="fiber",
    phase="fiber",
    phase_is="bright",
    fraction="fiber volume fraction",
    symmetries=frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"}),
    descriptors=(
        "phase_fraction",
        "two_point_correlation",
        "fiber_sections",
        "fiber_arrangement",
        "orientation",
        "specific_surface",
        *TEXTURE,
    ),
    wording=Wording(
        "microCT of fiber composite",
        (
            Phrase(
                "phase_fraction",
                "fiber volume fraction",
                ("few fibers {value:.2f}", "many fibers {value:.2f}", "dense fibers {value:.2f}"),
                (0.25, 0.45),
            ),
            Phrase(
                "fiber_sections",
                "fiber diameter",
                (
                    "thin fibers of {value:.3g} {unit}",
                    "fibers of {value:.3g} {unit}",
                    "thick fibers of {value:.3g} {unit}",
                ),
                (6.0, 12.0),
            ),
            Phrase(
                "orientation", "orientation cos 2θ", ("running vertically", "", "running horizontally"), (-0.35, 0.35)
            ),
        ),
    ),
    margins=MappingProxyType(
        {
            "fiber volume fraction": Margin(0.02, "value"),
            "two-point correlation at 4 px": Margin(0.02, "value"),
            "two-point correlation at 16 px": Margin(0.02, "value"),
            "correlation length": _TENTH,
            "correlation length along x": _TENTH,
            "correlation length along y": _TENTH,
            "integral range": _FIFTH,
            "fiber diameter": Margin(0.05, "mean"),
            "fiber diameter spread": _FIFTH,
            "fiber aspect ratio": Margin(0.05, "value"),
            "fiber number density": _TENTH,
            "nearest fiber distance": Margin(0.05, "mean"),
            "Clark-Evans index": Margin(0.1, "value"),
            "orientation anisotropy": Margin(0.1, "value"),
            "orientation cos 2θ": Margin(0.1, "value"),
            "orientation sin 2θ": Margin(0.1, "value"),
            "orientation spread": Margin(5.0, "value"),
            "specific surface": _TENTH,
            "fiber clustering": _HALF,
            **TEXTURE_MARGINS,
        }
    ),
    criteria=(
        "The fibers have plausible sections and diameters.",
        "They are packed as in a real laminate: touching, but not through each other.",
        "Matrix-rich places look as they do in a real laminate.",
        "Grey levels, edges and noise are those of a tomograph.",
        "Nothing repeats, and nothing looks drawn.",
    ),
)
