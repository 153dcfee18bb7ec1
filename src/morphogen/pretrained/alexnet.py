"""AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014).

The variant without local response normalisation, trained on ImageNet, without its fully connected layers. At least
31 x 31 pixels, for the first layer steps by four pixels.
"""

from functools import cache

from morphogen.pretrained.convolution_stack import Convolution, ConvolutionStack
from morphogen.pretrained.lpips_weights import lpips_weights

_BATCH = 32  # smaller batches leave the processor idle between layers

_LAYERS = (
    Convolution("relu1", kernel=11, padding=2, stride=4),
    Convolution("relu2", kernel=5, padding=2, pool=3),
    Convolution("relu3", kernel=3, padding=1, pool=3),
    Convolution("relu4", kernel=3, padding=1),
    Convolution("relu5", kernel=3, padding=1),
)


@cache
def alexnet() -> ConvolutionStack:
    """AlexNet with the five layers that LPIPS reads; the weights are read once.

    Raises:
        Problem: the weights are missing or not the known ones.
    """
    return ConvolutionStack("AlexNet", _LAYERS, [layer.name for layer in _LAYERS], lpips_weights("alexnet"), _BATCH)
