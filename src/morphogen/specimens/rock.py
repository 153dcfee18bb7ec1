"""Rocks and sediments in microCT: grains separated by pores.

Margins: porosity within 0.02 is what the field asks of synthetic rocks; lengths, surfaces and sizes within a tenth are
within what another threshold or another operator would change; a formation factor is known to a fifth at best. What has
no natural zero, such as grey levels, may differ by half of the standard deviation between measured fields.
"""

from types import MappingProxyType

from morphogen.specimens.specimen import TEXTURE, TEXTURE_MARGINS, Margin, Phrase, Specimen, Wording

_TENTH, _FIFTH, _HALF = Margin(0.1, "mean"), Margin(0.2, "mean"), Margin(0.5, "spread")

SPECIMEN = Specimen(
    name="rock",
    phase="pore",
    phase_is="dark",
    fraction="porosity",
    symmetries=frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"}),
    descriptors=(
        "phase_fraction",
        "two_point_correlation",
        "two_point_cluster",
        "lineal_path",
        "chord_lengths",
        "specific_surface",
        "minkowski_functionals",
        "pore_sizes",
        "connectivity",
        "transport",
        *TEXTURE,
    ),
    wording=Wording(
        "microCT of rock",
        (
            Phrase(
                "phase_fraction",
                "porosity",
                ("low porosity {value:.2f}", "medium porosity {value:.2f}", "high porosity {value:.2f}"),
                (0.12, 0.25),
            ),
            Phrase(
                "pore_sizes",
                "mean local thickness",
                (
                    "narrow pores of {value:.3g} {unit}",
                    "pores of {value:.3g} {unit}",
                    "wide pores of {value:.3g} {unit}",
                ),
                (6.0, 12.0),
            ),
            Phrase(
                "chord_lengths",
                "mean chord length along x",
                ("pores elongated vertically", "", "pores elongated horizontally"),
                (0.67, 1.5),
                over="mean chord length along y",
            ),
        ),
    ),
    margins=MappingProxyType(
        {
            "porosity": Margin(0.02, "value"),
            "two-point correlation at 4 px": Margin(0.02, "value"),
            "two-point correlation at 16 px": Margin(0.02, "value"),
            "correlation length": _TENTH,
            "correlation length along x": _TENTH,
            "correlation length along y": _TENTH,
            "integral range": _FIFTH,
            "cluster length": _TENTH,
            "cluster length along x": _TENTH,
            "cluster length along y": _TENTH,
            "connectivity at 16 px": Margin(0.1, "value"),
            "lineal path length": _TENTH,
            "lineal path length along x": _TENTH,
            "lineal path length along y": _TENTH,
            "mean chord length": _TENTH,
            "mean chord length along x": _TENTH,
            "mean chord length along y": _TENTH,
            "specific surface": _TENTH,
            "mean local thickness": _TENTH,
            "median local thickness": _TENTH,
            "connected fraction": Margin(0.1, "value"),
            "percolating fraction along x": Margin(0.1, "value"),
            "percolating fraction along y": Margin(0.1, "value"),
            "effective diffusivity along x": Margin(0.02, "value"),
            "effective diffusivity along y": Margin(0.02, "value"),
            "formation factor along x": _FIFTH,
            "formation factor along y": _FIFTH,
            "diffusive tortuosity along x": _FIFTH,
            "diffusive tortuosity along y": _FIFTH,
            "Euler number density": _HALF,
            "cluster density": _HALF,
            **TEXTURE_MARGINS,
        }
    ),
    criteria=(
        "The grains have the shapes and sizes of real grains.",
        "The pores look like pores, in shape and in how they connect.",
        "Grain contacts and pore throats are sharp where they should be.",
        "Grey levels and noise are those of a tomograph.",
        "Nothing repeats, and nothing looks drawn.",
    ),
)
