"""Adversarial losses on logits: positive means "measured". All are means over images, so that two half batches average.

With x measured, y = G(z) generated, D(x) the logit and softplus(t) = log(1 + exp t):

    non-saturating  L_D = E softplus(-D(x)) + E softplus(D(y)),            L_G = E softplus(-D(y))
    minimax         the same L_D,                                          L_G = -E softplus(D(y))
    hinge           L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(y)),         L_G = -E D(y)
    Wasserstein     L_D = E D(y) - E D(x),                                 L_G = -E D(y)
    relativistic    L_D = E softplus(D(y) - D(x)),                         L_G = E softplus(D(x) - D(y))

Non-saturating and minimax: Goodfellow et al. 2014 (arXiv:1406.2661), section 3; with the best D the first is
2 log 2 - 2 JSD. Hinge: Lim, Ye 2017 (arXiv:1705.02894) and Miyato et al. 2018 (arXiv:1802.05957), equations 16 and 17.
Wasserstein: Arjovsky, Chintala, Bottou 2017 (arXiv:1701.07875), equations 2 and 3, for a D of slope at most 1, which
``gradient_penalties.slope_off_one`` sees to. Relativistic: Jolicoeur-Martineau 2018 (arXiv:1807.00734), equations 6 and
7, on pairs of images with equal numbers, as Huang et al. 2024 (arXiv:2501.05441, R3GAN) use it.

The relativistic *average* of the same paper holds an image against the mean logit of the other set. A mean over a
batch inside a nonlinear function is a statistic of the batch: two half batches would not average to the whole one, and
two processes would not train what one does. So it is not offered; the relativistic loss on pairs is.
"""

from torch import Tensor
from torch.nn.functional import relu, softplus


def non_saturating_generator_loss(generated_logits: Tensor) -> Tensor:
    """Mean of -log D(G(z)) in nats."""
    return softplus(-generated_logits).mean()


def non_saturating_discriminator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of -log D(x) - log(1 - D(G(z))) in nats; 2 log 2 where D cannot tell them apart."""
    return softplus(-measured_logits).mean() + softplus(generated_logits).mean()


def minimax_generator_loss(generated_logits: Tensor) -> Tensor:
    """Mean of log(1 - D(G(z))) in nats: flat where D is sure, so that it starts slowly."""
    return -softplus(generated_logits).mean()


def hinge_generator_loss(generated_logits: Tensor) -> Tensor:
    """Mean of -D(G(z)), the same as that of the Wasserstein distance."""
    return -generated_logits.mean()


def hinge_discriminator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of what the logits lack to 1 and -1; 2 where they are all 0."""
    return relu(1 - measured_logits).mean() + relu(1 + generated_logits).mean()


def wasserstein_generator_loss(generated_logits: Tensor) -> Tensor:
    """Mean of -D(G(z)), where D is a critic without a sigmoid."""
    return -generated_logits.mean()


def wasserstein_discriminator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Minus the difference of the means: for the best critic of slope 1, minus the Wasserstein-1 distance."""
    return generated_logits.mean() - measured_logits.mean()


def relativistic_generator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of -log P(generated looks more measured than measured) in nats, over pairs of equal place.

    Args:
        measured_logits: ``(B,)``.
        generated_logits: ``(B,)``; logit k is held against measured logit k.
    """
    return softplus(measured_logits - generated_logits).mean()


def relativistic_discriminator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of -log P(measured looks more measured than generated) in nats, over pairs of equal place.

    Args:
        measured_logits: ``(B,)``.
        generated_logits: ``(B,)``; logit k is held against measured logit k.
    """
    return softplus(generated_logits - measured_logits).mean()
