"""AlexNet: spatial mean of its deepest convolution, thirty times faster than VGG16 and coarser.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), the variant of
AlexNet without local response normalisation, trained on ImageNet, without its fully connected layers.
256 features.

relu5 alone, measured as for VGG16 (see ``vgg16``: kernel distances on 64 x 64 fields of carbonate in
units of that between two real scans):

    layer      blur 1 px   noise 0.3 sd   random phases   shuffled 16 px blocks
    relu1          7.0          0.5            0.7                0.5
    relu4          4.6          1.1            4.0                3.1
    relu5         10            2.8            4.0               12
    all five       5.1          1.4            4.5                2.0

No resize and no upper limit on the size; at least 31 x 31 pixels (the first layer steps by four pixels,
so that of a 32 x 32 field one position is left; VGG16 keeps four).
"""

from collections.abc import Sequence

from morphogen.evaluation.features.mean_features import MeanFeatures
from morphogen.pretrained.alexnet import alexnet


class Extractor(MeanFeatures):
    """Spatial means of AlexNet.

    Args:
        layers: among relu1 to relu5; 64, 192, 384, 256 and 256 features.
        batch: images computed together, None for what is fastest.

    Raises:
        Problem: the weights are missing or not the known ones, or there is no such layer.
    """

    def __init__(self, layers: Sequence[str] = ("relu5",), batch: int | None = None) -> None:
        super().__init__(alexnet(), layers, batch)
