"""Contrastive losses between images and captions: what belongs together is alike, what does not is not.

With unit vectors x_i of images and y_j of captions, the temperature's inverse t, similarities s_ij = t x_i . y_j, and
z_ij = 1 where caption j is a true one of image i, else -1; m_i true captions has image i, and n captions are there:

    softmax   L_i = -1/2 sum_j:z_ij=1 [ log softmax_j(s_ij) + log softmax_j(r_ij) ] / m_i,   r_ij = t y_i . x_j
    sigmoid   L_i = -sum_j log sigmoid(z_ij (s_ij + b)),   b a learnt number below zero

Softmax: Radford et al. 2021 (arXiv:2103.00020), figure 3, with several true captions of one image as in Yang et al.
2022 (arXiv:2204.03610), equations 2 and 3: where two images of a batch have the same caption, none of the two is wrong.
Sigmoid: Zhai et al. 2023 (arXiv:2303.15343), section 3.2.

Each is a mean over the images i that are given, held against *all* images and captions of the batch. So it is a
statistic of the batch; but of two halves, each held against the whole, the losses do average to that of the whole.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def softmax_contrast(
    images: Tensor, captions: Tensor, all_images: Tensor, all_captions: Tensor, true: Tensor, scale: Tensor
) -> Tensor:
    """Mean over images of how surprising their captions are among all, and they among all images.

    Args:
        images: unit vectors ``(b, d)``.
        captions: those of their captions ``(b, d)``.
        all_images: unit vectors of the whole batch ``(n, d)``.
        all_captions: those of its captions ``(n, d)``, in the same order.
        true: ``(b, n)`` bool, where caption n is the same as that of image b.
        scale: t, above zero.
    """
    share = true / true.sum(dim=1, keepdim=True)  # (b, n)
    of_caption = (scale * images @ all_captions.T).log_softmax(dim=1)
    of_image = (scale * captions @ all_images.T).log_softmax(dim=1)
    return -((of_caption + of_image) * share).sum(dim=1).mean() / 2


def sigmoid_contrast(images: Tensor, all_captions: Tensor, true: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Mean over images of the surprise of being told, caption by caption, which is true of them.

    Args:
        images: unit vectors ``(b, d)``.
        all_captions: unit vectors of the captions of the whole batch ``(n, d)``.
        true: ``(b, n)`` bool, where caption n is the same as that of image b.
        scale: t, above zero.
        bias: b; it starts low, since most captions are wrong.
    """
    sign = torch.where(true, 1.0, -1.0)
    return -logsigmoid(sign * (scale * images @ all_captions.T + bias)).sum(dim=1).mean()
