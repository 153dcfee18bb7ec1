"""CycleGAN. Zhu et al. 2017 (arXiv:1703.10593): two unpaired sets, each translated into the other and back.

With x from the sources, y from the measured images, G: x -> y, F: y -> x, and a discriminator for each set,

    L_G,F = 1/2 E[(D_Y(G(x)) - 1)^2] + 1/2 E[(D_X(F(y)) - 1)^2]       least squares (Mao et al. 2017, equation 9)
          + l (E|F(G(x) + e) - x| + m E|G(F(y) + e) - y|)              cycle, equation 2; l cycle_weight
          + i (E|G(y) - y| + E|F(x) - x|)                              identity, section 5.2; i identity_weight
    L_D   = 1/2 E[(D(real) - 1)^2] + 1/2 E[D(translated)^2]            for each of the two

where half of the translated images that a discriminator sees are from a buffer of 50 earlier ones (Shrivastava et
al. 2017, arXiv:1612.07828, section 2.3). A translation enters the buffer in a free place, or, where none is left, with
probability 1/2 in a random one. With the 1/2 of Mao et al., l = 5 is the paper's 10.

Deviations from the paper, each for a reason:
- Noise e on a translation before it is translated back, since a cycle can be closed by what hides in faint patterns
  (Chu et al. 2017, arXiv:1712.02950); the remedy is that of Bashkirova et al. 2019 (arXiv:1908.01517). Where dark
  becomes bright we measured neither gain nor loss from it.
- A generator adds to its input what its network finds (``from_identity``), so that bright stays bright. Unpaired sets
  don't say which is which: started at chance, labels came back right through micrographs with dark fibers. Where dark
  is to become bright, it has to be switched off. |d| is smoothed below a tenth of the grey scale, for its edge at 0
  would hold the generators where they start, at the identity.
- No normalisation. Instance normalisation takes the mean grey level and the contrast of an image away, which are
  densities in a tomograph, and makes a translated pixel depend on how much of the specimen the image shows.
- G gets noise beside the image (augmented CycleGAN, Almahairi et al. 2018, arXiv:1802.10151, without its encoders), as
  labels hold nothing that a texture could be made from: as one more channel that it sees, and as a grain that is added
  at the end, of a learnt correlation and of an amount that depends on what is seen there. The cycle y -> x -> y cannot
  bring back a texture that x does not hold, and draws G to the flat median of what might have been, so that it counts
  less (m, ``measured_cycle``). Where all of y can be told from x, m = 1 holds the two together more reliably.
- No tanh at the end, which cannot give the pure black and white of labels; samples are clipped to [-1, 1]. The finest
  level goes around the coarse ones, so that what is pixel-sharp in the source is so in its translation.
- The specimen goes on beyond the image (reflected, or its edge repeated) in every layer of the generators. Zeros around
  it show as a frame, above all in the translation of an image that is larger than the crops.
- Resize-convolutions (Odena et al. 2016); averaged weights for sampling; narrower and shallower networks, for two
  cores.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from morphogen.mathematics.least_squares_losses import (
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.mathematics.resize_convolution import ResizeConvolution
from morphogen.methods.method import (
    Batch,
    GenerativeMethod,
    Loss,
    MethodSettings,
    Phase,
    SampleRequest,
    Sizes,
    Task,
)

_PLACES_IN_BUFFER = 40
"""Purpose of the stream of places in the buffer; its keys count the images taken in, and have no seed."""

_SMALL = 0.2
"""Differences below are squared: a tenth of the grey scale, as the noise between there and back."""


class Settings(MethodSettings):
    """Settings of the CycleGAN."""

    batch_size: int = Field(default=4, ge=1, description="images a step of each set, over all processes together")
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64), min_length=1, description="channels of the generators from fine to coarse"
    )
    blocks: int = Field(default=4, ge=0, description="residual blocks at the coarsest level")
    discriminator_channels: tuple[int, ...] = Field(
        default=(32, 64, 64),
        min_length=1,
        description="channels of the discriminators; all but the last halve the size",
    )
    noise_channels: int = Field(
        default=1,
        ge=0,
        description="channels of noise from which sources become measured images; 0 for one answer each",
    )
    cycle_weight: float = Field(default=5.0, ge=0, description="weight of coming back to where one started")
    measured_cycle: float = Field(
        default=0.2, ge=0, description="weight of the cycle that starts from measured images over that of the other"
    )
    disturbance: float = Field(
        default=0.2, ge=0, description="standard deviation of the noise on a translation before it is translated back"
    )
    from_identity: bool = Field(
        default=True, description="generators add to their input; false where dark is to become bright"
    )
    identity_weight: float = Field(
        default=0.5, ge=0, description="weight of leaving alone what already is of the set translated into"
    )
    buffer: int = Field(default=50, ge=1, description="earlier translations that the discriminators are reminded of")
    learning_rate: float = Field(default=1e-3, gt=0, description="of all four networks")


class ResidualBlock(nn.Module):
    """x + convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
        )  # fmt: skip
        nn.init.zeros_(self.layers[3].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Generator(nn.Module):
    """Images of one set into images of the other, of any size that the levels divide.

    Args:
        image_channels: of images.
        channels: of the levels, from fine to coarse.
        blocks: residual blocks at the coarsest level.
        noise_channels: of the noise beside the image.
        from_identity: add to the image, next to nothing at the start.
    """

    def __init__(
        self, image_channels: int, channels: tuple[int, ...], blocks: int, noise_channels: int, from_identity: bool
    ) -> None:
        super().__init__()
        self.from_identity = from_identity
        self.stem = nn.Conv2d(image_channels + noise_channels, channels[0], 5, padding=2, padding_mode="reflect")
        levels = list(pairwise(channels))
        self.down = nn.Sequential(
            *(
                nn.Sequential(nn.ReLU(), nn.Conv2d(fine, coarse, 3, 2, 1, padding_mode="reflect"))
                for fine, coarse in levels
            )
        )
        self.blocks = nn.Sequential(*(ResidualBlock(channels[-1]) for _ in range(blocks)))
        self.up = nn.Sequential(
            *(nn.Sequential(nn.ReLU(), ResizeConvolution(coarse, fine, "edge")) for fine, coarse in reversed(levels))
        )
        self.last = nn.Conv2d(channels[0], image_channels, 5, padding=2, padding_mode="reflect")
        if noise_channels:
            self.grain = nn.Conv2d(noise_channels, image_channels, 5, padding=2, padding_mode="reflect", bias=False)
            self.amount = nn.Conv2d(channels[0], image_channels, 1)
            # White noise at the start: a random kernel hardly moves, and its own pattern would stay for the grain.
            nn.init.zeros_(self.grain.weight)
            with torch.no_grad():
                self.grain.weight[:, :, 2, 2] = noise_channels**-0.5
            nn.init.constant_(self.amount.bias, 0.1)  # type: ignore[arg-type]
        for layer in self.modules():
            if isinstance(layer, ResizeConvolution):
                nn.init.kaiming_normal_(layer.weight)
        if from_identity:
            with torch.no_grad():
                self.last.weight.mul_(0.1)
                if noise_channels:
                    self.amount.weight.mul_(0.1)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        seen = x if noise is None else torch.cat([x, noise], dim=1)  # (B, C + noise, H, W)
        fine = self.stem(seen.contiguous(memory_format=torch.channels_last))  # a fifth faster on a CPU
        found = torch.relu(fine + self.up(self.blocks(self.down(fine))))
        out: Tensor = self.last(found)
        if noise is not None:
            out = out + self.amount(found) * self.grain(noise)
        return x + out if self.from_identity else out


class Discriminator(nn.Module):
    """A score for each patch of an image (PatchGAN, Isola et al. 2017): 1 for measured, 0 for translated."""

    def __init__(self, image_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = image_channels
        for level, after in enumerate(channels):
            stride = 2 if level < len(channels) - 1 else 1
            layers += [nn.Conv2d(before, after, 4, stride, 1), nn.LeakyReLU(0.2)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(x.contiguous(memory_format=torch.channels_last))  # (B, 1, patches, patches)
        return scores


class Method(GenerativeMethod):
    """Cycle-consistent adversarial network."""

    title = "CycleGAN"
    averaged = ("to_measured", "to_sources")
    compiled = ("to_measured", "to_sources")
    translates = True
    settings: Settings
    past_measured: Tensor
    past_sources: Tensor
    taken: Tensor

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape, sizes = task.shape, (settings.channels, settings.blocks)
        self.to_measured = Generator(shape.channels, *sizes, settings.noise_channels, settings.from_identity)
        self.to_sources = Generator(shape.channels, *sizes, 0, settings.from_identity)
        self.of_measured = Discriminator(shape.channels, settings.discriminator_channels)
        self.of_sources = Discriminator(shape.channels, settings.discriminator_channels)
        for name in ("past_measured", "past_sources"):
            self.register_buffer(name, torch.zeros(settings.buffer, shape.channels, shape.height, shape.width))
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        rate, betas = settings.learning_rate, (0.5, 0.999)
        self.phases = (
            Phase("translation", ("to_measured", "to_sources"), learning_rate=rate, betas=betas, falls=True),
            Phase("discriminator", ("of_measured", "of_sources"), learning_rate=rate, betas=betas, falls=True),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Every level but the finest halves the image; the discriminators need a few patches."""
        halvings = max(len(settings.channels) - 1, len(settings.discriminator_channels) - 1)
        return Sizes(multiple_of=2 ** (len(settings.channels) - 1), at_least=4 * 2**halvings)

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of both generators or of both discriminators."""
        y, x = batch.images, batch.sources
        assert x is not None  # training refuses to start without
        return self._translation(x, y, randomness) if phase == "translation" else self._telling(x, y, randomness)

    def _translation(self, x: Tensor, y: Tensor, randomness: Randomness) -> Loss:
        settings = self.settings
        # Two images at once through each network, which is faster than one after the other.
        new_y, same_y = self._measured(torch.cat([x, y]), self._noise(y, randomness, 2)).chunk(2)
        new_x, same_x = self.to_sources(torch.cat([y, x])).chunk(2)
        # What is hidden in faint patterns doesn't survive noise: the cycle has to be closed by what can be seen.
        noise_y, noise_x = (self.settings.disturbance * randomness.normal(2, *y.shape[1:])).unbind(1)
        back_x = self.to_sources(new_y + noise_y)
        back_y = self._measured(new_x + noise_x, self._noise(y, randomness))
        fooling = least_squares_generator_loss(self.of_measured(new_y))
        fooling = fooling + least_squares_generator_loss(self.of_sources(new_x))
        cycle_of_sources, cycle_of_measured = _apart(back_x, x), _apart(back_y, y)
        identity = _apart(same_y, y) + _apart(same_x, x)
        total = (
            fooling
            + settings.cycle_weight * (cycle_of_sources + settings.measured_cycle * cycle_of_measured)
            + settings.identity_weight * identity
        )
        parts = {
            "fooling": fooling,
            "cycle of sources": cycle_of_sources,
            "cycle of measured": cycle_of_measured,
            "identity": identity,
        }
        return Loss(total, parts)

    def _telling(self, x: Tensor, y: Tensor, randomness: Randomness) -> Loss:
        with torch.no_grad():
            new_y = self._measured(x, self._noise(y, randomness))
            new_x = self.to_sources(y)
        loss = self._of_one_set(self.of_measured, y, self._or_earlier(new_y, self.past_measured, randomness))
        loss = loss + self._of_one_set(self.of_sources, x, self._or_earlier(new_x, self.past_sources, randomness))
        return Loss(loss, {"discriminator": loss}, kept={"measured": new_y, "sources": new_x})

    @staticmethod
    def _of_one_set(discriminator: nn.Module, real: Tensor, translated: Tensor) -> Tensor:
        of_real, of_translated = discriminator(torch.cat([real, translated])).chunk(2)
        return least_squares_discriminator_loss(of_real, of_translated)

    def _or_earlier(self, new: Tensor, past: Tensor, randomness: Randomness) -> Tensor:
        """Each new translation, or with probability 1/2 an earlier one, as far as there are any."""
        coins, rows = randomness.uniform(2).unbind(1)  # (B,)
        held = self.taken.clamp(max=len(past))  # stays on the device
        earlier = past[(rows * held).long().clamp(max=len(past) - 1)]
        use = (coins < 0.5) & (held > 0)
        return torch.where(use.view(-1, 1, 1, 1), earlier, new)

    def observe(self, parts: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """Take the new translations into the buffer."""
        if not kept:
            return  # the generators' phase
        taken, size = int(self.taken), self.settings.buffer
        for k in range(len(kept["measured"])):
            random = numpy_generator(_PLACES_IN_BUFFER, taken + k)
            if (place := taken + k) >= size:
                if random.random() < 0.5:
                    continue
                place = int(random.integers(size))
            self.past_measured[place] = kept["measured"][k]
            self.past_sources[place] = kept["sources"][k]
        self.taken += len(kept["measured"])

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Translations of the request's sources, or of measured images if it is reversed."""
        assert request.sources is not None  # see ``translates``
        x = request.sources
        images: Tensor = self.to_sources(x) if request.reverse else self._measured(x, self._noise(x, randomness))
        return images.clamp(-1, 1)

    def _measured(self, x: Tensor, noise: Tensor | None) -> Tensor:
        images: Tensor = self.to_measured(x, noise)
        return images

    def _noise(self, like: Tensor, randomness: Randomness, times: int = 1) -> Tensor | None:
        """Noise for each image, ``times`` as many rows: first the first ones of all images, then the second ones."""
        channels = self.settings.noise_channels
        if not channels:
            return None
        drawn = randomness.normal(times, channels, *like.shape[-2:])  # (B, times, noise, H, W)
        return drawn.transpose(0, 1).flatten(0, 1)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference, made smooth where it is small."""
    return smooth_l1_loss(one, other, beta=_SMALL)
