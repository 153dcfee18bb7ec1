"""A diffusion run that reads captions, opened for what is done to images: told, noised, denoised, and brought back.

Of each image the denoiser is told a caption, or none, and whatever other conditions of the run are known of it; what is
not known is left out, as it was at times in training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from morphogen.generation.denoising_run import DenoisingRun
from morphogen.generation.generate import require_able
from morphogen.generation.prior import untold_vectors
from morphogen.generation.reconstruct import require_alike
from morphogen.images.conditions import ASKED, CAPTION, known_as, listed
from morphogen.images.cropping import text_tensors
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Label, Picture
from morphogen.mathematics.noise_levels import Denoiser
from morphogen.methods.denoising import Given
from morphogen.methods.method import SampleRequest
from morphogen.networks.attention_control import ReadsTokens, Watch, controlled, looks_across
from morphogen.pretrained.text_encoder import TextEncoder, Word
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.run import Run

Mapped = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x ``(B, ...)``, sigma ``(B,)``) -> the estimate of x_0, and attention ``(B, K, h, w)`` to each of K words."""


class CaptionedRun(DenoisingRun):
    """A run of a denoising method that was trained with captions.

    Args:
        folder: of the run.
        text_encoder: folder of the encoder of its captions, where that is no longer where it was.
        cpu: stay on the CPU even where there is a GPU.
        across: whether its network has to read the captions by attention across.

    Attributes:
        run: the run.
        method: with the weights to sample from.
        encoder: reads its captions.
        device: where the method is.

    Raises:
        Problem: it is no such run.
    """

    def __init__(
        self,
        folder: Run | Path | str,
        *,
        text_encoder: Path | str | None = None,
        cpu: bool = False,
        across: bool = False,
    ) -> None:
        super().__init__(folder, cpu=cpu)
        encoder = encoder_of(self.run.record.conditions, text_encoder)
        assert encoder is not None
        self.encoder: TextEncoder = encoder
        if across and not self.looks_across:
            raise Problem(
                f"{self.run.folder} does not read its captions by attention across, so none can be seen or changed",
                do="train ddpm with captions, or dit with conditioning=cross_attention",
            )

    def require_fit(self) -> None:
        """Refuse a run without captions.

        Raises:
            Problem: it is one.
        """
        if self.run.record.conditions.text is None:
            raise Problem(
                f"{self.run.folder} was trained without captions", do="name a run that has caption among its conditions"
            )

    @property
    def looks_across(self) -> bool:
        """Whether its network reads captions by attention across."""
        return looks_across(self.method.network)

    @property
    def tokens_in_front(self) -> int:
        """Tokens of the network's own before those of a caption."""
        network = self.method.network
        return network.tokens_in_front if isinstance(network, ReadsTokens) else 0

    def words(self, caption: str, *, marks: bool = False) -> tuple[Word, ...]:
        """Words of a caption with their tokens, see ``TextEncoder.words``."""
        return self.encoder.words(caption, marks=marks)

    def check(self, picture: Picture, *, guidance: float | None = None, left_out: bool = False) -> None:
        """Refuse a picture that the run does not know, and wishes that it cannot fulfil.

        Args:
            picture: to be edited.
            guidance: that is asked for.
            left_out: whether the denoiser is also to be asked without a caption.

        Raises:
            Problem: of another pixel type or size, without a mask that is needed, or the run was told all there is
                every time.
        """
        require_alike(self.run, Pictures([picture]))
        if self.run.record.context is not None:
            self.run.record.context.channels_of(picture)
        require_able(
            self.run.record.method, self.method, SampleRequest(guidance=guidance, size=self.size_asked(picture.size))
        )
        told = {*self.known_of(picture), CAPTION}
        missing = [name for name in self.run.record.conditions.names if name not in told]
        if (missing or left_out) and not self.method.settings.condition_dropout:
            what = f"{listed(missing)} of the image is not known" if missing else "it cannot be asked without a caption"
            raise Problem(
                f"the run was always told all of its conditions, and {what}",
                do="label the images, or train with condition_dropout",
            )

    def known_of(self, picture: Picture, asked: Mapping[str, Label] | None = None) -> dict[str, Label]:
        """Values of conditions other than the caption: those that are asked, and those in a picture's labels.

        Raises:
            Problem: something is asked that is no condition of the run.
        """
        conditions = self.run.record.conditions
        found: dict[str, Label] = {}
        for number in conditions.numbers:
            value = _label_of(picture, number.name)
            if number.of_mask:
                value = None if picture.mask is None else float(picture.mask.mean())
            if value is not None and not isinstance(value, str):
                found[number.name] = float(value)
        for kind in conditions.classes:
            value = _label_of(picture, kind.name)
            if value is not None and (str(value) if isinstance(value, str) else f"{value:g}") in kind.values:
                found[kind.name] = value
        wanted = conditions.named(asked or {})
        for name in wanted:
            if name not in conditions.names or name == CAPTION:
                others = [known for known in conditions.names if known != CAPTION]
                raise Problem(
                    f"'{name}' is no condition of this run beside its caption",
                    do=f"choose among {listed(others) or 'none'}",
                )
        found |= wanted
        filler = self._filler()
        conditions.encode(filler | found)  # refuses a class that training never saw
        return found

    def caption_of(self, picture: Picture, given: str = "") -> str:
        """What a picture shows in words: as given, else as its labels have it; "" where nothing says so."""
        label = _label_of(picture, CAPTION)
        return given or (label if isinstance(label, str) else "")

    def given(self, pictures: Sequence[Picture], captions: Sequence[str],
              known: Sequence[Mapping[str, Label]]) -> Given:  # fmt: skip
        """What the denoiser is told, a row an image.

        Args:
            pictures: whose masks are told where the run is told masks.
            captions: one each; "" to leave it out.
            known: values of the other conditions, as ``known_of`` gives them.
        """
        conditions, filler = self.run.record.conditions, self._filler()
        values = [filler | dict(of_image) for of_image in known]
        texts = [caption or conditions.seen_texts[0] for caption in captions]
        told = [
            [float(name in of_image or (name == CAPTION and bool(caption))) for name in conditions.names]
            for of_image, caption in zip(known, captions, strict=True)
        ]
        vectors = torch.from_numpy(
            np.stack([conditions.encode(v | {CAPTION: t}) for v, t in zip(values, texts, strict=True)])
        )
        text, tokens = text_tensors(texts, self.encoder)
        context = None
        if self.run.record.context is not None:
            beside = np.stack([self.run.record.context.channels_of(picture) for picture in pictures])
            context = torch.from_numpy(beside).to(self.device)
        untold = untold_vectors(self.method, len(pictures))
        request = SampleRequest(
            condition=vectors.to(self.device), text=text.to(self.device), tokens=tokens.to(self.device),
            context=context, image_vector=untold,
        )  # fmt: skip
        whole = self.method.given(request)
        kept = torch.tensor(told, device=self.device)
        if untold is not None:
            kept = torch.cat([torch.zeros_like(kept[:, :1]), kept], dim=1)
        if context is not None:
            kept = torch.cat([kept, torch.ones_like(kept[:, :1])], dim=1)
        return whole.but(kept)

    def denoiser(self, given: Given, size: tuple[int, int], guidance: float | None = None) -> Denoiser:
        """The denoiser of images of a size that is told this."""
        return self.method.denoiser(SampleRequest(guidance=guidance, size=self.size_asked(size)), given)

    def mapped(self, given: Given, size: tuple[int, int], selection: Tensor) -> Mapped:
        """The denoiser without guidance, and where the words act while it works.

        Args:
            given: what it is told.
            size: of the images.
            selection: ``(B, K, tokens)``, 1 for the tokens of each word, those in front included in the count.
        """
        method, channels = self.method, self.method.inside[0]

        def seen(x: Tensor, sigma: Tensor, context: Tensor | None) -> Tensor:
            watch = Watch(len(x))
            with controlled(method.network, watch):
                said = method.hold(method.denoise(x[:, :channels], sigma, replace(given, context=context)))
            shares = watch.shares((x.shape[2], x.shape[3]))  # (B, M, h, w)
            return torch.cat([said, torch.einsum("bmhw,bkm->bkhw", shares, selection.to(shares))], dim=1)

        whole = method.through_windows(seen, given.context, self.size_asked(size))

        def denoise(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
            # Windows blend what comes out as they blend images: it has to go in with as many channels.
            room = x.new_zeros(len(x), selection.shape[1], *x.shape[2:])
            out = whole(torch.cat([x, room], dim=1), sigma)
            return out[:, :channels], out[:, channels:]

        return denoise

    def selection(self, tokens: Sequence[Sequence[Sequence[int]]], count: int) -> Tensor:
        """Which tokens each word has, for ``mapped``: ``(B, K, count)``.

        Args:
            tokens: of each image the tokens of each word, numbered within the caption.
            count: tokens that the captions were filled up to.
        """
        front = self.tokens_in_front
        chosen = torch.zeros(len(tokens), len(tokens[0]), front + count, device=self.device)
        for row, words in zip(chosen, tokens, strict=True):
            for word, of_word in zip(row, words, strict=True):
                word[[front + token for token in of_word]] = 1
        return chosen

    def _filler(self) -> dict[str, Label]:
        """Values that stand where nothing is told, which a network does not see."""
        conditions = self.run.record.conditions
        return {**conditions.decode(conditions.seen[0]), CAPTION: conditions.seen_texts[0]}


def _label_of(picture: Picture, name: str) -> Label | None:
    """What a picture's labels say of a condition, or, of a generated one, what was asked of it."""
    for known in (known_as(name, picture.labels), known_as(ASKED + name, picture.labels)):
        if known is not None:
            return picture.labels[known]
    return None
