"""What each stream of random numbers is for, so that no two uses repeat each other's draws under one seed.

The key of a stream is (seed, use) or (seed, use, index). Numbers below 10 belong to ``morphogen.images``, 100 and
above to generation and training.
"""

from enum import IntEnum


class Use(IntEnum):
    """Second element of the key of a random stream."""

    GRID_OFFSETS = 10
    """Where the grid of fields starts in a picture, and their order; the index is that of the picture."""
    ORDER_OF_FIELDS = 11
    HALVES = 12
    NOISE = 13
    """The index is that of the picture."""
    PAIRS = 14
    WEIGHTS_OF_MEASURED = 15
    """Bootstrap of the measured rows: the same replicates under every distance."""
    WEIGHTS_OF_COMPARED = 16
    WEIGHTS_OF_READINGS = 17
    WEIGHTS_OF_DIVERSITY = 18
    WEIGHTS_OF_PAIRED = 19
    SHOWN_IMAGES = 20
    PARTITIONS_OF_MEASURED = 21
    """Splits of all measured fields in two, which tell how far measured sets are from each other."""
    HALVES_OF_TRAINING = 22
    """The index is that of the halving."""
    WEIGHTS_OF_TRAINING = 23
    WEIGHTS_OF_ASKED = 40
    """Bootstrap of what was given against what was asked."""
    DEFECTS = 35
    """Damage of the audit; a checksum of the defect's name and the index of the field follow."""
    AUDIT_FLOOR = 36
    """Which fields are reference, compared and training in a draw; the number of fields and of the draw follow."""
    AUDIT_DRAWS = 37
    AUDIT_PLACES = 38
    """What stands at each place of a damaged set; the defect, the number of fields and of the draw follow."""
    HALVES_OF_HELD_OUT = 30
    """Of the held-out fields of the memorisation check, for its cross-validation."""
    PLANTED_COPIES = 31
    """The index is that of the copy."""
    WEIGHTS_OF_NEAREST = 32
    """Bootstrap of distances to the nearest training crop; the index is 0 for generated, 1 for held-out fields."""
    WEIGHTS_OF_CAPTIONS = 45
    """Bootstrap of how well images fit their captions."""
    WEIGHTS_OF_HITS = 46
    """Bootstrap of how often a caption or a class was found."""
    GROUPS_OF_CAPTIONS = 47
    """Which images are put to the test together."""
    WEIGHTS_OF_EDITS = 48
    """Bootstrap of what editors made of images."""
