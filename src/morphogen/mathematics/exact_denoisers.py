"""Denoisers that are known in closed form: E[x_0 | x] and log p(x; sigma), with x = x_0 + sigma n.

A mixture of Gaussians stays one under noise: component k has mean m_k and variance v_k + sigma^2, and

    E[x_0 | x] = sum_k r_k(x) (m_k + v_k / (v_k + sigma^2) (x - m_k)),    r_k = w_k N(x; m_k, v_k + sigma^2) / p(x;
    sigma)

A data set is the mixture of its images with no variance: the softmax of their distances over 2 sigma^2 (Karras et al.
2022, arXiv:2206.00364, equation 57). It is what a denoiser becomes that has learnt its images by heart, and all it can
draw are these.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import per_image


@dataclass(frozen=True)
class GaussianMixture:
    """Gaussians with diagonal covariances.

    Attributes:
        weights: ``(K,)``, of sum 1.
        means: ``(K, ...)``, shaped like images.
        variances: like the means, not negative.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 | x] for x ``(B, ...)`` at sigma ``(B,)``."""
        shares = torch.softmax(self._log_joint(x, sigma), dim=1)  # (B, K)
        offset, variance = self._offset(x, sigma)
        means, variances = self.means.flatten(1).to(x), self.variances.flatten(1).to(x)
        return torch.einsum("bk,bkd->bd", shares, means + variances / variance * offset).view_as(x)

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The log of p(x; sigma) in nats, ``(B,)``; sigma may be 0 where all variances are positive."""
        return self._log_joint(x, sigma).logsumexp(1)

    def _offset(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets x - m_k and v_k + sigma^2, ``(B, K, d)``."""
        flat = x.flatten(1)[:, None]
        return flat - self.means.flatten(1).to(x), self.variances.flatten(1).to(x) + per_image(sigma, flat).square()

    def _log_joint(self, x: Tensor, sigma: Tensor) -> Tensor:
        offset, variance = self._offset(x, sigma)
        log_normal = -0.5 * (offset.square() / variance + (2 * math.pi * variance).log()).sum(2)
        return log_normal + self.weights.to(x).log()


@dataclass(frozen=True)
class DataSet:
    """Images, each as likely as another. Distances take memory for ``(B, n)`` numbers, not for ``(B, n, d)``.

    Attributes:
        images: ``(n, ...)``.
    """

    images: Tensor

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 | x] for x ``(B, ...)`` at sigma ``(B,)``, positive."""
        shares = torch.softmax(self._misfit(x, sigma), dim=1)  # (B, n)
        return (shares @ self.images.flatten(1).to(x)).view_as(x)

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The log of p(x; sigma) in nats, ``(B,)``."""
        dimensions = x[0].numel()
        normalisation = dimensions * (math.log(2 * math.pi) / 2 + sigma.to(x).log()) + math.log(len(self.images))
        return self._misfit(x, sigma).logsumexp(1) - normalisation

    def _misfit(self, x: Tensor, sigma: Tensor) -> Tensor:
        # Not by products: |x|^2 - 2 x.y + |y|^2 loses the distances that matter at low noise.
        mode = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(x.flatten(1), self.images.flatten(1).to(x), compute_mode=mode)
        return -(distance / per_image(sigma, distance)).square() / 2
