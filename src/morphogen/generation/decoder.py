"""The decoder of unCLIP: a diffusion run that is told vectors of images, opened to draw measured ones anew.

Ramesh et al. 2022 (arXiv:2204.06125), section 3. An image is two things to such a run: its vector z_i, which says what
CLIP sees in it, and the noise x_T that the deterministic sampler, told z_i, makes it from, which says all the rest.

    variations       (3.1) z_i stays, and noise of the sampler's own makes x_T the more forgotten the larger eta is
    interpolation    (3.2) z goes along the arc from one image's to another's; x_T is one noise for all, or goes along
                     the arc between those of the two images, so that both ends are the images themselves
    text differences (3.3) x_T stays, and z_i turns towards what a caption says

Other conditions of the run are left out, as they were at times in training. An image larger than the run's crops has
the mean of the vectors of its windows, at unit length, and is drawn through windows.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from morphogen.generation.denoising_run import DenoisingRun
from morphogen.generation.generate import SEED, picture_of, require_able
from morphogen.generation.latent_space import SHARE
from morphogen.generation.reconstruct import require_alike
from morphogen.images.context import name_of
from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Label, Picture
from morphogen.mathematics.inversion import Inversion, ddim_inversion, sampled_again
from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers import ddim
from morphogen.mathematics.solvers.solver import falling
from morphogen.mathematics.solvers.solver import solver as find_solver
from morphogen.mathematics.spherical import spherical
from morphogen.methods.denoising import Given
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.image_text import ClipRun
from morphogen.training.image_vectors import clip_of
from morphogen.training.run import Run
from morphogen.whole_files import require_free_folder

FROM_IMAGE, TO_IMAGE = "from image", "to image"
"""Labels of a picture between two: the files of its ends."""

_BETWEEN = 104
"""Purpose of the random stream of the noise of pictures between two."""


class Decoder(DenoisingRun):
    """A run that is told the vectors that a CLIP has of images.

    Args:
        folder: of the run.
        reads: whether its CLIP is to read captions, which takes the CLIP's text encoder.
        text_encoder: folder of that, where it is no longer where it was.
        cpu: stay on the CPU even where there is a GPU.

    Attributes:
        clip: the CLIP.

    Raises:
        Problem: it is no such run.
    """

    def __init__(
        self,
        folder: Run | Path | str,
        *,
        reads: bool = False,
        text_encoder: Path | str | None = None,
        cpu: bool = False,
    ) -> None:
        super().__init__(folder, cpu=cpu)
        self.clip = ClipRun(clip_of(self.run), text_encoder, reads=reads)

    def require_fit(self) -> None:
        """Refuse a run that is told no vectors, or masks and edges too.

        Raises:
            Problem: it is one.
        """
        clip_of(self.run)
        if self.run.record.context is not None:
            raise Problem(
                f"{self.run.folder} is told {self.run.record.context.kind}, which are not read here",
                do="name a run without",
            )

    def check(self, picture: Picture, guidance: float | None = None) -> None:
        """Refuse a picture that the run or its CLIP does not know, and wishes that it cannot fulfil.

        Raises:
            Problem: of other channels, another pixel type or too small; or the run was told all there is every time.
        """
        require_alike(self.run, Pictures([picture]))
        request = SampleRequest(guidance=guidance, size=self.size_asked(picture.size))
        require_able(self.run.record.method, self.method, request)
        if self.run.record.conditions and not self.method.settings.condition_dropout:
            raise Problem(
                "the run was always told all of its conditions, and here it is told a vector alone",
                do="train with condition_dropout",
            )

    def vectors(self, pictures: Sequence[Picture]) -> Tensor:
        """What CLIP sees in pictures: unit vectors ``(n, d)``."""
        intensity = self.run.record.intensity
        seen = Pictures(replace(p, pixels=intensity.to_unit(p.pixels)) for p in pictures)
        return torch.from_numpy(self.clip.images(seen)).float().to(self.device)

    def captions(self, texts: Sequence[str]) -> Tensor:
        """What CLIP sees in captions: unit vectors ``(n, d)``."""
        return torch.from_numpy(self.clip.captions(texts)).float().to(self.device)

    def given(self, vectors: Tensor) -> Given:
        """What the denoiser is told: vectors ``(n, d)`` and nothing else."""
        conditions, count = self.run.record.conditions, len(vectors)
        request = SampleRequest(image_vector=vectors)
        if conditions:
            request = replace(request, condition=torch.zeros(count, conditions.width, device=self.device))
        if conditions.text is not None:
            width = conditions.text.width
            request = replace(
                request, text=torch.zeros(count, width, device=self.device),
                tokens=torch.zeros(count, 1, width + 1, device=self.device),
            )  # fmt: skip
        whole = self.method.given(request)
        kept = torch.zeros(count, whole.kinds, device=self.device)
        kept[:, 0] = 1
        return whole.but(kept)

    def denoiser(self, vectors: Tensor, size: tuple[int, int], guidance: float | None = None) -> Denoiser:
        """The denoiser of images of a size that is told these vectors ``(n, d)``."""
        return self.method.denoiser(SampleRequest(guidance=guidance, size=self.size_asked(size)), self.given(vectors))

    def levels(self, steps: int | None) -> Tensor:
        """Noise levels that are gone through, falling."""
        return self.method.sampling_levels(steps or self.method.settings.sample_steps)

    def noise_of(
        self, pictures: Sequence[Picture], vectors: Tensor, *, steps: int | None, guidance: float | None,
        iterations: int,
    ) -> Inversion:  # fmt: skip
        """What the sampler makes pictures of one size from, told their vectors.

        Args:
            pictures: of one size.
            vectors: of each, ``(n, d)``.
            steps: noise levels; by default the run's.
            guidance: weight of the vector; by default the run's.
            iterations: evaluations that better each step, see ``mathematics.inversion``.
        """
        denoise = self.denoiser(vectors, pictures[0].size, guidance)
        return ddim_inversion(denoise, self.inside(pictures), self.levels(steps), iterations=iterations)

    def drawn_from(
        self, found: Inversion, vectors: Tensor, size: tuple[int, int], streams: Randomness | None = None, *,
        eta: float = 0.0, guidance: float | None = None,
    ) -> Tensor:  # fmt: skip
        """Images ``(n, C, h, w)`` of variance 1, from where pictures have been found to come.

        Args:
            found: of as many pictures.
            vectors: what is told now, ``(n, d)``.
            size: of the pictures.
            streams: of noise, one a picture; needed above eta 0.
            eta: 0 follows the deterministic sampler, told the same vectors back to the pictures; 1 has the noise of the
                ancestral one, of which after some steps alone the vectors are left.
            guidance: weight of the vector; by default the run's.
        """
        denoise = self.denoiser(vectors, size, guidance)
        if eta == 0:
            return sampled_again(denoise, found)
        assert streams is not None
        levels, x = falling(found.sigmas), found.path[0]
        for now, following in pairwise(levels):
            x, fresh = ddim.step(x, denoise(x, level_of_batch(now, x)), now, following, eta)
            x = x + fresh * streams.normal(*x.shape[1:])
        # What the lowest level lacks of the picture fades with the rest of it.
        return denoise(x, level_of_batch(levels[-1], x)) + (1 - eta) * found.rest

    def drawn(
        self, vectors: Tensor, size: tuple[int, int], streams: Randomness, *, steps: int | None = None,
        guidance: float | None = None, solver: str | None = None,
    ) -> Tensor:  # fmt: skip
        """Images ``(n, C, h, w)`` of variance 1 that are told vectors ``(n, d)``, from noise alone."""
        method = self.method
        inside = (method.inside[0], *(side // method.pixels_inside for side in size))

        def normal() -> Tensor:
            return streams.normal(*inside)

        sigmas = self.levels(steps)
        x = float(sigmas[0]) * normal()
        chosen = find_solver(solver or method.settings.solver)
        return chosen.solve(self.denoiser(vectors, size, guidance), x, sigmas, normal)


def interpolate_images(
    run: Run | Path | str,
    images: ImageSet,
    *,
    steps: int = 9,
    through: bool = False,
    levels: int | None = None,
    iterations: int = 5,
    guidance: float | None = None,
    seed: int = 0,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Pictures:
    """Go from one measured image to the next, through images that a decoder draws for vectors between theirs.

    Args:
        run: a run that was told vectors of images, or its folder.
        images: two or more of one size; the line goes from the first to the second, from there to the third, and so on.
        steps: pictures of each line, its ends included.
        through: start from the noises that the images come from, so that the ends are the images themselves as far as
            the inversion reaches; else all pictures of a line have one noise, and the ends show what the vectors hold.
        levels: noise levels that are gone through; by default the run's.
        iterations: with ``through``, evaluations that better each step of the inversion.
        guidance: weight of the vectors; by default the run's.
        seed: of the noise; line k depends on the seed and on k alone.
        folder: where to write them; not written if left out.
        extension: ".png" or ".tif"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Returns:
        The pictures, line after line.

    Raises:
        Problem: it is no such run, fewer than two images or of several sizes, images that it does not know, or no room
            to write.
    """
    if steps < 2:
        raise Problem(f"a line of {steps} picture has no two ends", do="give 2 steps or more")
    if len(images) < 2:
        raise Problem("one image is no line", do="give two images or more")
    decoder = Decoder(run, cpu=cpu)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    if extension is not None:
        require_format(extension, decoder.run.record.intensity.dtype)
    for picture in images:
        decoder.check(picture, guidance)
        if picture.size != images[0].size:
            raise Problem(
                f"{name_of(picture)} is {picture.size[0]} x {picture.size[1]}, and {name_of(images[0])} is"
                f" {images[0].size[0]} x {images[0].size[1]}",
                do="give images of one size",
            )
    size, shares = images[0].size, torch.linspace(0, 1, steps, device=decoder.device)[:, None]
    method, record, made = decoder.method, decoder.run.record, []
    lines = list(enumerate(pairwise(images)))
    for number, ends in track(lines, f"Drawing {len(lines)} lines"):
        with torch.inference_mode():
            here = decoder.vectors(ends)
            told = spherical(here[:1], here[1:], shares)
            streams = Randomness([(seed, _BETWEEN, number)] * steps, decoder.device)
            if through:
                found = decoder.noise_of(ends, here, steps=levels, guidance=guidance, iterations=iterations)
                x0 = decoder.drawn_from(_between(found, shares), told, size, guidance=guidance)
            else:
                x0 = decoder.drawn(told, size, streams, steps=levels, guidance=guidance)
            channels = method.decode(x0).float().cpu().numpy()
        for k, (one, share) in enumerate(zip(channels, shares[:, 0].tolist(), strict=True)):
            picture = picture_of(decoder.run, one, f"{decoder.run.folder.name}-{number}-{k}", method.learnt_through)
            labels: dict[str, Label] = {FROM_IMAGE: name_of(ends[0]), TO_IMAGE: name_of(ends[1])}
            labels |= {SHARE: round(share, 6), SEED: float(seed)}
            spacing = ends[0].spacing_um if np.isfinite(ends[0].spacing_um).all() else picture.spacing_um
            made.append(replace(picture, spacing_um=spacing, labels={**picture.labels, **labels}))
    pictures = Pictures(made, f"between images, by {record.method} {decoder.run.folder.name}")
    if target is not None:
        write_images(pictures, target, extension=extension)
    return pictures


def _between(found: Inversion, shares: Tensor) -> Inversion:
    """What lies between the noises of two pictures, and what their lowest levels lack."""
    start = found.path[0]
    noise = spherical(start[:1].flatten(1), start[1:].flatten(1), shares).view(-1, *start.shape[1:])
    rest = torch.lerp(found.rest[:1].flatten(1), found.rest[1:].flatten(1), shares).view_as(noise)
    return Inversion(found.sigmas, (noise,), (), rest, 0.0)
