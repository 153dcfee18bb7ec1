"""Copying: a share of the set is exact copies of training images.

Copies of measured images are measured images: against held-out images every distance calls them perfect. Only what
knows the training set can see them.
"""

import numpy as np

from morphogen.audit.defect import Places, SetDefect
from morphogen.problems import Problem


def _places(count: int, training: int, severity: float, generator: np.random.Generator) -> Places:
    copied = round(severity / 100 * count)
    if copied > training:
        raise Problem(f"{copied} copies need as many training images, not {training}", do="give more of them")
    places = generator.permutation(count)[:copied]
    image, version = np.arange(count), np.zeros(count, dtype=np.intp)
    image[places], version[places] = generator.permutation(training)[:copied], -1
    return Places(image, version)


DEFECT = SetDefect(
    name="copying",
    unit="% of the images",
    severities=(10.0, 50.0, 100.0),
    definition="This share of the images is replaced by exact copies of training images.",
    places=_places,
)
