"""Adversarial losses on logits: positive means "measured".

Non-saturating: Goodfellow et al. 2014 (arXiv:1406.2661), section 3. With D = sigmoid(logit),
-log D(x) = softplus(-logit) and -log(1 - D(x)) = softplus(logit).
"""

from torch import Tensor
from torch.nn.functional import softplus


def non_saturating_generator_loss(generated_logits: Tensor) -> Tensor:
    """Mean of -log D(G(z)) in nats."""
    return softplus(-generated_logits).mean()


def non_saturating_discriminator_loss(measured_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of -log D(x) - log(1 - D(G(z))) in nats; 2 log 2 where D cannot tell them apart."""
    return softplus(-measured_logits).mean() + softplus(generated_logits).mean()
