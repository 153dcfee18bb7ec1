"""Noise levels: one coordinate for all diffusion.

An image at noise level sigma is x = x_0 + sigma n with n ~ N(0, 1) and x_0 of about unit variance. Every other process

    x_t = a(t) x_0 + b(t) n,   t in [0, 1],

is this one, scaled: sigma = b / a, x = x_t / a. So a denoiser, a solver and a likelihood are written once, in sigma;
what is left of a process is its way through the noise levels and the scale at which a network sees its images:

    cosine   alpha_bar = cos^2(theta) / cos^2(theta_0), theta = pi/2 (t + s) / (1 + s); Nichol, Dhariwal 2021
             (arXiv:2102.09672), equation 17, without its clipping, so that sigma(1) is infinite
    vp       a = exp(-B / 2), b = sqrt(1 - a^2), B = beta_0 t + (beta_1 - beta_0) t^2 / 2; Song et al. 2021
             (arXiv:2011.13456), equations 11 and 33; what linear beta becomes for many steps
    sub_vp   the same a, b = 1 - a^2; the same paper, appendix B
    ve       a = 1, b = low (high / low)^t; the same paper, equation 9 and appendix C
    flow     a = 1 - t, b = t; Lipman et al. 2022 (arXiv:2210.02747), Liu et al. 2022 (arXiv:2209.03003). With a shift,
             t becomes shift t / (1 + (shift - 1) t), which multiplies sigma by the shift; Esser et al. 2024
             (arXiv:2403.03206), equation 23

Discrete diffusion gives alpha_bar_t = a_t^2 = 1 - b_t^2 at the steps t = 0 ... T - 1:

    linear   beta from 1e-4 to 0.02 over 1000 steps; Ho, Jain, Abbeel 2020 (arXiv:2006.11239), section 4
    cosine   equation 17 of Nichol, Dhariwal, with beta clipped at 0.999

Training draws a level for each image from one uniform number; sampling visits a falling row of levels. Numbers of
levels are few, so they are computed in float64 throughout.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x ``(B, ...)``, sigma ``(B,)``) -> estimate of x_0 ``(B, ...)``, E[x_0 | x] for an ideal one.

The score of p(x; sigma) is (D(x, sigma) - x) / sigma^2. sigma is float32, or float64 where x is."""

_HALF_A_STEP = 2.0**-25
"""Half the spacing of float32 draws from U[0, 1): keeps a draw of exactly 0 from asking for a level of 0."""


class Level(NamedTuple):
    """Where a process stands: x_t = signal x_0 + noise n.

    Attributes:
        signal: a.
        noise: b, like a.
    """

    signal: Tensor
    noise: Tensor

    @property
    def sigma(self) -> Tensor:
        """B / a."""
        return self.noise / self.signal


class Process(ABC):
    """A way from images, t = 0, to noise, t = 1. All is float64, of the shape of what is given."""

    @abstractmethod
    def level(self, time: Tensor) -> Level:
        """Signal and noise at times in [0, 1]."""

    @abstractmethod
    def time(self, sigma: Tensor) -> Tensor:
        """The time at which the noise level is sigma; the inverse of ``sigma``."""

    def sigma(self, time: Tensor) -> Tensor:
        """The noise level b / a at times in [0, 1]."""
        return self.level(time).sigma

    def level_at(self, sigma: Tensor) -> Level:
        """Signal and noise where the noise level is sigma."""
        return self.level(self.time(sigma))


@dataclass(frozen=True, slots=True)
class Cosine(Process):
    """A squared cosine. With offset 0, a = cos(pi t / 2) and b = sin(pi t / 2), the usual partner of v-prediction."""

    offset: float = 0.008

    def level(self, time: Tensor) -> Level:
        """With b^2 as a product of sines: 1 - alpha_bar would lose its digits near t = 0."""
        first = self._angle(torch.zeros((), dtype=torch.float64, device=time.device))
        angle = self._angle(time.double())
        noise = (torch.sin(angle - first) * torch.sin(angle + first)).clamp(min=0).sqrt() / torch.cos(first)
        return Level(torch.cos(angle) / torch.cos(first), noise)

    def time(self, sigma: Tensor) -> Tensor:
        """By the tangent of theta, which keeps its digits near t = 0."""
        sigma = sigma.double()
        first = self._angle(torch.zeros((), dtype=torch.float64, device=sigma.device))
        angle = torch.atan2((sigma.square() + torch.sin(first).square()).sqrt(), torch.cos(first))
        return angle * (1 + self.offset) / (math.pi / 2) - self.offset

    def _angle(self, time: Tensor) -> Tensor:
        return (time + self.offset) / (1 + self.offset) * (math.pi / 2)


@dataclass(frozen=True, slots=True)
class VariancePreserving(Process):
    """Linear beta in continuous time; 0.1 and 20 are a thousand times the betas of discrete diffusion."""

    first_beta: float = 0.1
    last_beta: float = 20.0

    def level(self, time: Tensor) -> Level:
        """a^2 + b^2 = 1."""
        total = self._total(time)
        return Level(torch.exp(-total / 2), torch.sqrt(-torch.expm1(-total)))

    def time(self, sigma: Tensor) -> Tensor:
        """From B = log(1 + sigma^2)."""
        return self._time_of_total(torch.log1p(sigma.double().square()))

    def _total(self, time: Tensor) -> Tensor:
        """B, the integral of beta."""
        t = time.double()
        return self.first_beta * t + (self.last_beta - self.first_beta) * t**2 / 2

    def _time_of_total(self, total: Tensor) -> Tensor:
        root = torch.sqrt(self.first_beta**2 + 2 * (self.last_beta - self.first_beta) * total)
        return 2 * total / (self.first_beta + root)


@dataclass(frozen=True, slots=True)
class SubVariancePreserving(VariancePreserving):
    """The same signal with less noise: a^2 + b^2 <= 1."""

    def level(self, time: Tensor) -> Level:
        """With b = 1 - a^2."""
        total = self._total(time)
        return Level(torch.exp(-total / 2), -torch.expm1(-total))

    def time(self, sigma: Tensor) -> Tensor:
        """From sigma = exp(B / 2) - exp(-B / 2)."""
        return self._time_of_total(2 * torch.asinh(sigma.double() / 2))


@dataclass(frozen=True, slots=True)
class VarianceExploding(Process):
    """Noise that grows geometrically from ``low`` to ``high``, and no fading of the image."""

    low: float = 0.01
    high: float = 50.0

    def level(self, time: Tensor) -> Level:
        """Signal 1; at t = 0 there is noise of ``low``."""
        noise = self.low * torch.exp(time.double() * math.log(self.high / self.low))
        return Level(torch.ones_like(noise), noise)

    def time(self, sigma: Tensor) -> Tensor:
        """Linear in log sigma."""
        return torch.log(sigma.double() / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True, slots=True)
class Flow(Process):
    """A straight line from an image to noise; ``shift`` above 1 spends more of the time at high noise."""

    shift: float = 1.0

    def level(self, time: Tensor) -> Level:
        """1 - t and t, for the shifted time."""
        t = time.double()
        bottom = 1 + (self.shift - 1) * t
        return Level((1 - t) / bottom, self.shift * t / bottom)

    def time(self, sigma: Tensor) -> Tensor:
        """From sigma = shift t / (1 - t)."""
        return sigma.double() / (sigma.double() + self.shift)


PROCESSES: Mapping[str, type[Process]] = {
    "cosine": Cosine,
    "vp": VariancePreserving,
    "sub_vp": SubVariancePreserving,
    "ve": VarianceExploding,
    "flow": Flow,
}
"""The processes in continuous time."""


def resolution_shift(pixels: int, reference_pixels: int) -> float:
    """The shift of the noise levels under which larger images look as noisy as smaller ones do.

    sqrt(m / n) for m pixels in place of n: averaging m / n pixels takes away that much of the noise (Esser et al. 2024,
    on the way to equation 23).
    """
    return math.sqrt(pixels / reference_pixels)


def linear_signal(steps: int = 1000, first_beta: float = 1e-4, last_beta: float = 0.02) -> Tensor:
    """alpha_bar of linearly growing beta: ``(steps,)`` float64, falling from nearly 1 to nearly 0."""
    beta = torch.linspace(first_beta, last_beta, steps, dtype=torch.float64)
    return torch.cumprod(1 - beta, dim=0)


def cosine_signal(steps: int = 1000, offset: float = 0.008, largest_beta: float = 0.999) -> Tensor:
    """alpha_bar that follows a squared cosine: ``(steps,)`` float64."""
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=largest_beta)
    return torch.cumprod(1 - beta, dim=0)


def signal_level(alpha_bar: Tensor) -> Level:
    """Signal and noise of discrete diffusion: sqrt(alpha_bar) and sqrt(1 - alpha_bar)."""
    return Level(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def nearest_step(alpha_bar: Tensor, sigma: Tensor) -> Tensor:
    """The steps whose noise level is nearest to ``sigma`` ``(B,)`` as a ratio: ``(B,)`` int64.

    Args:
        alpha_bar: ``(T,)``, falling.
        sigma: noise levels.
    """
    levels = signal_level(alpha_bar.double()).sigma.log()  # rising
    wanted = sigma.double().log()
    above = (
        torch.searchsorted(levels, wanted).clamp(1, len(levels) - 1) if len(levels) > 1 else torch.zeros_like(wanted)
    )
    above = above.long()
    below = (above - 1).clamp(min=0)
    return torch.where(wanted - levels[below] < levels[above] - wanted, below, above)


def lognormal(u: Tensor, mean: float = -1.2, deviation: float = 1.2) -> Tensor:
    """Levels whose logarithm is normal; Karras et al. 2022 (arXiv:2206.00364), table 1, P_mean and P_std.

    For the flow this is the logit-normal distribution of times (Esser et al. 2024, equation 19), as t / (1 - t) =
    sigma.

    Args:
        u: numbers from U[0, 1), one an image.
        mean: of log sigma.
        deviation: of log sigma.

    Returns:
        Like ``u``.
    """
    return torch.exp(mean + deviation * torch.special.ndtri(_inside(u))).to(u.dtype)


def log_uniform(u: Tensor, low: float, high: float) -> Tensor:
    """Levels between two, as often in each octave; what ``ve`` gives."""
    return torch.exp(math.log(low) + math.log(high / low) * u.double()).to(u.dtype)


def uniform_in_time(u: Tensor, process: Process, low: float, high: float) -> Tensor:
    """Levels between two, as often in each stretch of a process's time."""
    first, last = _times(process, low, high)
    return process.sigma(first + (last - first) * u.double()).to(u.dtype)


def karras_steps(count: int, low: float, high: float, rho: float = 7.0) -> Tensor:
    """Evenly in sigma^(1 / rho): ``(count,)`` float64, falling; Karras et al. 2022 (arXiv:2206.00364), equation 5.

    The final 0 of that equation is left to the solvers.
    """
    share = _shares(count, low, high)
    result: Tensor = (high ** (1 / rho) + share * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return result


def geometric_steps(count: int, low: float, high: float) -> Tensor:
    """Evenly in log sigma: ``(count,)`` float64, falling."""
    return torch.exp(math.log(high) + _shares(count, low, high) * math.log(low / high))


def decisive_steps(count: int, low: float, high: float) -> Tensor:
    """Close where images of unit variance are decided, wide far below and above: ``(count,)`` float64, falling.

    Evenly in asinh(log sigma + 1), so closest at sigma = 1 / e; most of training goes there too (``lognormal``, with
    its mean of -1.2). For integrals over log sigma whose integrand vanishes at both ends.
    """
    share = _shares(count, low, high)
    first, last = (math.asinh(math.log(sigma) + 1) for sigma in (high, low))
    return torch.exp(torch.sinh(first + share * (last - first)) - 1)


def process_steps(process: Process, count: int, low: float, high: float) -> Tensor:
    """Evenly in a process's time: ``(count,)`` float64, falling."""
    share = _shares(count, low, high)
    first, last = _times(process, low, high)
    return process.sigma(last + share * (first - last))


def signal_steps(alpha_bar: Tensor, count: int) -> Tensor:
    """The levels of evenly spaced steps of discrete diffusion: ``(count,)`` float64, falling."""
    return signal_level(alpha_bar.double()).sigma[evenly_spaced_steps(len(alpha_bar), count)]


def evenly_spaced_steps(steps: int, count: int) -> list[int]:
    """``count`` of the time steps 0 ... ``steps`` - 1 in falling order, the last and the first among them.

    Lin et al. 2024 (arXiv:2305.08891), section 3.3 ("linspace"): sampling must start at the last step, the
    only one whose input is (nearly) pure noise.
    """
    return [round(t) for t in torch.linspace(steps - 1, 0, count, dtype=torch.float64).tolist()]


def add_noise(x0: Tensor, noise: Tensor, level: Level) -> Tensor:
    """x_t = a x_0 + b n of images and noise, both ``(B, ...)``, at levels ``(B,)``."""
    return per_image(level.signal, x0) * x0 + per_image(level.noise, x0) * noise


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """``(B,)`` values shaped ``(B, 1, ..., 1)``, on the device and in the type of ``like``, float32 at least.

    A level in half precision would be another level.
    """
    precision = torch.promote_types(like.dtype, torch.float32)
    return values.to(like.device, precision).view(-1, *[1] * (like.ndim - 1))


def level_of_batch(sigma: float, like: Tensor) -> Tensor:
    """One noise level for all images of a batch, as a denoiser takes it: ``(B,)``."""
    precision = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.full((len(like),), sigma, dtype=precision, device=like.device)


def _inside(u: Tensor) -> Tensor:
    return u.double().clamp(_HALF_A_STEP, 1 - _HALF_A_STEP)


def _times(process: Process, low: float, high: float) -> tuple[Tensor, Tensor]:
    first, last = process.time(torch.tensor([low, high], dtype=torch.float64))
    return first, last


def _shares(count: int, low: float, high: float) -> Tensor:
    """From 0 at the highest level to 1 at the lowest."""
    if count < 1 or not 0 < low <= high:
        raise ValueError(f"{count} noise levels from {high} down to {low}: they are positive and falling, at least one")
    return torch.linspace(0, 1, count, dtype=torch.float64)
