"""Rocks and sediments in microCT: grains separated by pores."""

from morphogen.specimens.specimen import Specimen

SPECIMEN = Specimen(
    name="rock",
    phase="pore",
    phase_is="dark",
    fraction="porosity",
    symmetries=frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"}),
    descriptors=("phase_fraction", "two_point_correlation", "grey_levels"),
)
