"""Plant roots in a scan or behind glass: gravity points down, so only left and right may change places."""

from morphogen.specimens.specimen import Specimen

SPECIMEN = Specimen(
    name="root",
    phase="root",
    phase_is="bright",
    fraction="root area fraction",
    symmetries=frozenset({"flip_horizontal"}),
    descriptors=("phase_fraction", "two_point_correlation", "grey_levels"),
)
