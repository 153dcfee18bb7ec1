"""VGG16: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015).

Configuration D, trained on ImageNet, without its fully connected layers: they would fix the size of the image, and
they name objects, which a texture has none of. At least 16 x 16 pixels.
"""

from functools import cache

from morphogen.pretrained.convolution_stack import Convolution, ConvolutionStack
from morphogen.pretrained.lpips_weights import lpips_weights

_BATCH = 16  # 8 to 32 cost the same time, and memory grows with it

_BLOCKS = (2, 2, 3, 3, 3)
_LAYERS = tuple(
    Convolution(f"relu{block}_{place}", kernel=3, padding=1, pool=2 if place == 1 and block > 1 else 0)
    for block, convolutions in enumerate(_BLOCKS, start=1)
    for place in range(1, convolutions + 1)
)
_TAPS = tuple(f"relu{block}_{convolutions}" for block, convolutions in enumerate(_BLOCKS, start=1))


@cache
def vgg16() -> ConvolutionStack:
    """VGG16 with the five layers that LPIPS reads; the weights are read once.

    Raises:
        Problem: the weights are missing or not the known ones.
    """
    return ConvolutionStack("VGG16", _LAYERS, _TAPS, lpips_weights("vgg16"), _BATCH)
