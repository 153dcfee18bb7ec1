"""VGG16: spatial mean of its deepest convolution, the features that set distances read by default.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015),
configuration D, trained on ImageNet, without its fully connected layers (they would fix the size of the
image, and they name objects, which a texture has none of). 512 features; the mean over the field makes
them independent of where in a field a structure lies, as the statistics of a texture are.

Why relu5_3 alone. Two micro-CT scans of carbonate, 64 x 64 fields, 200 of each; the table gives the
unbiased kernel distance of a set from fields of the first scan, divided by that of fields of the second
scan, so that 1 means "as far as another real scan". A layer is good if real is near and wrong is far.

    layer      blur 1 px   noise 0.3 sd   random phases   shuffled 16 px blocks
    relu1_2        12           3.2            0.4                0.2
    relu3_3         3.1         1.6            4.3                0.8
    relu4_3         6.3         1.9            7.3                3.6
    relu5_3        25           3.2           13                 25
    all five        4.8         1.8            3.3                1.4

(random phases: the field's power spectrum and histogram kept, its structure lost.) The early layers, and
with them the concatenation, see first of all the contrast and sharpness of the scanner: to relu1_2 the
other scan is further away than noise with the right spectrum. At 32 px relu5_3 and relu4_3 are about
level, and neither sees that blocks were shuffled; at 128 px relu4_3 leads but for shuffled blocks. The
price: relu5_3 is the layer least alarmed by white noise of 0.1 sd and by a blur of half a pixel. Where
such things matter, ask for ``layers=("relu1_2",)`` as well.

No resize and no upper limit on the size; at least 16 x 16 pixels.
"""

from collections.abc import Sequence

from morphogen.evaluation.features.mean_features import MeanFeatures
from morphogen.pretrained.vgg16 import vgg16


class Extractor(MeanFeatures):
    """Spatial means of VGG16.

    Args:
        layers: among relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3; 64, 128, 256, 512 and 512 features.
        batch: images computed together, None for what is fastest.

    Raises:
        Problem: the weights are missing or not the known ones, or there is no such layer.
    """

    def __init__(self, layers: Sequence[str] = ("relu5_3",), batch: int | None = None) -> None:
        super().__init__(vgg16(), layers, batch)
