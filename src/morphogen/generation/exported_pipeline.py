"""A diffusion model that Morphogen trained, as a pipeline of diffusers. It needs torch, numpy and diffusers, no more.

``DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True)`` runs this file, which lies in the folder, for the
pipelines that diffusers ships know images in [-1, 1] with noise of variance 1 at the steps of a table. This model knows
noise levels: x = x_0 + sigma n, for images x_0 brought to mean 0 and variance 1. Its network (``unet``, of diffusers)
sees a x, with a = 1 / sqrt(1 + sigma^2), and 100 log sigma, through squares of ``patch`` pixels as channels, and from
what it says follows, for v with b = sigma a (Salimans, Ho 2022, arXiv:2202.00512; Karras et al. 2022,
arXiv:2206.00364),

    D(x, sigma) = a (a x) - b v

which is what the schedulers of Karras et al. in diffusers (``EDMDPMSolverMultistepScheduler``, ``EDMEulerScheduler``)
expect with ``prediction_type="v_prediction"`` and ``sigma_data=1``. Other targets are turned into v. With a ``vae``,
x_0 is its latent.

What an image is conditioned on, numbers, classes and a text, goes through ``conditions`` to where the network takes the
class of an image; a text besides as one state a token, by attention across. What is not asked is left out, as it was at
times in training, and a guidance w above 1 gives D_untold + w (D - D_untold) (Ho, Salimans 2022, arXiv:2207.12598).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


@dataclass
class Given:
    """What the network is told of images, one row each.

    Attributes:
        embedding: of all conditions, ``(B, width)``.
        states: of the tokens of a text, behind one that is always there, ``(B, 1 + T, text width)``.
        there: which of these count, ``(B, 1 + T)``.
    """

    embedding: Tensor
    states: Tensor | None = None
    there: Tensor | None = None


class TokenReader(nn.Module):
    """Tokens of a text to one vector, by a learnt query in one layer of a transformer."""

    def __init__(self, text: int, width: int, out: int) -> None:
        super().__init__()
        self.into = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.query = nn.Parameter(torch.zeros(width))
        self.among = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """States ``(B, T, text)``, of which those count that are ``there`` ``(B, T)``, to ``(B, out)``."""
        query = self.query.expand(len(states), 1, -1)
        beyond = torch.cat([torch.zeros_like(there[:, :1]), ~there], dim=1)
        seen = self.among(torch.cat([query, self.into(states)], dim=1), src_key_padding_mask=beyond)
        vector: Tensor = self.out(seen[:, 0])
        return vector


class ConditionReader(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers has no types
    """Conditions to an embedding: a perceptron on their vector and on flags that say which are told.

    Args:
        numbers: name, lowest and highest value of each number; between them it is scaled to [-1, 1].
        classes: name and values of each class, one-hot.
        text: name of the text; "" for none.
        text_width: length of its vector.
        out: length of the embedding.
        tokens: whether the network sees the tokens of the text too.
        reads: width of the layer that reads them for the embedding; 0 for none.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        numbers: list[Any] = [],  # noqa: B006  # diffusers reads the types, and knows no others
        classes: list[Any] = [],  # noqa: B006
        text: str = "",
        text_width: int = 0,
        out: int = 256,
        tokens: bool = False,
        reads: int = 0,
    ) -> None:
        super().__init__()
        self.names = [n[0] for n in numbers] + [c[0] for c in classes] + ([text] if text else [])
        self.widths = [1 for _ in numbers] + [len(c[1]) for c in classes] + ([text_width] if text else [])
        total = sum(self.widths) + len(self.widths)
        self.layers = nn.Sequential(nn.Linear(total, out), nn.SiLU(), nn.Linear(out, out))
        self.always = nn.Parameter(torch.zeros(1, 1, text_width)) if tokens else None
        self.reader = TokenReader(text_width, reads, out) if reads else None

    def vectors(self, asked: Mapping[str, Any], pooled: Tensor | None) -> tuple[list[float], list[float]]:
        """The vector of one image and its flags; what is not asked is 0."""
        unknown = set(asked) - set(self.names)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no condition; there are {', '.join(self.names)}")
        vector: list[float] = []
        for name, low, high in self.config.numbers:
            vector.append(2 * (float(asked[name]) - low) / (high - low) - 1 if name in asked else 0.0)
        for name, values in self.config.classes:
            word = asked.get(name)
            word = f"{word:g}" if isinstance(word, int | float) else word
            if name in asked and word not in values:
                raise ValueError(f"{name} is '{word}': it can be {', '.join(values)}")
            vector += [float(word == value) for value in values]
        if self.config.text:
            vector += [0.0] * self.config.text_width if pooled is None else pooled.tolist()
        return vector, [float(name in asked) for name in self.names]

    def forward(self, vector: Tensor, told: Tensor) -> Tensor:
        """An embedding ``(B, out)`` of vectors ``(B, width)`` and flags ``(B, conditions)``."""
        owner = torch.tensor([k for k, width in enumerate(self.widths) for _ in range(width)], device=vector.device)
        embedding: Tensor = self.layers(torch.cat([vector * told[:, owner], told], dim=1))
        return embedding


class MorphogenPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """Draws images as its training images were: same shape, pixel type and grey scale.

    Args:
        unet: the network.
        scheduler: one of those of Karras et al., with ``sigma_data=1`` and ``prediction_type="v_prediction"``.
        vae: for latent diffusion, the autoencoder.
        conditions: what reads the conditions, where there are any.
        text_encoder: what reads a text, where one is a condition.
        tokenizer: of the text encoder.
        predicts: "v", "epsilon", "x0", "score" or "flow": what the network says.
        patch: side of the squares of pixels that the network sees as channels.
        autoencoder_patch: the same for the autoencoder.
        shape: channels, height and width of x_0.
        mean: of the channels of the images, or of the latent.
        deviation: their standard deviation.
        low: grey value of -1.
        high: grey value of +1.
        dtype: pixel type of the training images.
        steps: noise levels that are gone through by default.
        guidance: weight of the conditions by default.
        guided: lowest and highest noise level at which it counts.
    """

    _optional_components = ["vae", "conditions", "text_encoder", "tokenizer"]  # noqa: RUF012  # as diffusers has it
    model_cpu_offload_seq = "text_encoder->conditions->unet->vae"

    def __init__(
        self,
        unet: Any,
        scheduler: Any,
        vae: Any = None,
        conditions: Any = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        predicts: str = "v",
        patch: int = 1,
        autoencoder_patch: int = 1,
        shape: list[int] = [1, 64, 64],  # noqa: B006  # diffusers reads the types, and knows no others
        mean: list[float] = [0.0],  # noqa: B006
        deviation: list[float] = [1.0],  # noqa: B006
        low: float = 0.0,
        high: float = 255.0,
        dtype: str = "uint8",
        steps: int = 20,
        guidance: float = 1.0,
        guided: list[float] = [0.0, 1e6],  # noqa: B006
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae, conditions=conditions, text_encoder=text_encoder,
                              tokenizer=tokenizer)  # fmt: skip
        self.register_to_config(
            predicts=predicts, patch=patch, autoencoder_patch=autoencoder_patch, shape=list(shape), mean=list(mean),
            deviation=list(deviation), low=low, high=high, dtype=dtype, steps=steps,
            guidance=guidance, guided=list(guided),
        )  # fmt: skip

    def _per_channel(self, values: Any, like: Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, None, None]

    def told(self, asked: Sequence[Mapping[str, Any]]) -> Given | None:
        """What the network is told of images of which this is asked, by the names of the conditions."""
        reader = self.conditions
        if reader is None:
            if any(asked):
                raise ValueError("this pipeline takes no conditions")
            return None
        device, text, read = self._execution_device, reader.config.text, []
        if text:
            read = [self._read(str(one[text])) if text in one else None for one in asked]
        rows = [reader.vectors(one, said[1] if said else None) for one, said in zip(
            asked, read or [None] * len(asked), strict=True)]  # fmt: skip
        vector, flags = (torch.tensor(part, dtype=torch.float32, device=device) for part in zip(*rows, strict=True))
        embedding = reader(vector, flags)
        if reader.always is None:
            return Given(embedding)
        longest = max([len(said[0]) for said in read if said] or [1])
        states = torch.zeros(len(asked), longest, reader.config.text_width, device=device)
        there = torch.zeros(len(asked), longest, device=device)
        for k, said in enumerate(read):
            if said is not None:
                states[k, : len(said[0])], there[k, : len(said[0])] = said[0], 1
        if reader.reader is not None:
            embedding = embedding + reader.reader(states, there > 0)
        always = reader.always.expand(len(asked), -1, -1)
        counts = torch.cat([torch.ones(len(asked), 1, device=device), there], dim=1) > 0
        return Given(embedding, torch.cat([always, states], dim=1), counts)

    def _read(self, text: str) -> tuple[Tensor, Tensor]:
        """A state a token ``(T, width)``, and the text as one vector, of variance 1 an entry."""
        tokens = self.tokenizer(text, return_tensors="pt").to(self._execution_device)
        said = self.text_encoder(**tokens)
        states = said.last_hidden_state[0].float()
        ends = self.text_encoder.config.model_type in ("clip", "clip_text_model")
        pooled = said.pooler_output[0].float() if ends else states.mean(0)
        return states, pooled / pooled.norm() * len(pooled) ** 0.5

    def denoise(self, x: Tensor, sigma: Tensor, given: Given | None = None) -> Tensor:
        """The estimate D of x_0 for images ``(B, C, H, W)`` at one noise level."""
        sigma = sigma.to(x.device, torch.float32)
        a = 1 / torch.sqrt(1 + sigma**2)
        b = sigma * a
        level = (100 * torch.log(sigma)).expand(len(x))
        patches = pixel_unshuffle((a * x).to(self.unet.dtype), self.config.patch)
        if given is None:
            said = self.unet(patches, level).sample
        elif given.states is None:
            said = self.unet(patches, level, class_labels=given.embedding).sample
        else:
            said = self.unet(
                patches, level, given.states, class_labels=given.embedding, encoder_attention_mask=given.there
            ).sample
        said = pixel_shuffle(said, self.config.patch).float()
        # x_0 = (q a x - b said) / (q a - b p) for what the network says, p x_0 + q n.
        kind = self.config.predicts
        if kind == "x0":
            return self._held(said)
        q = {"epsilon": torch.ones_like(a), "v": a, "score": -1 / b, "flow": torch.ones_like(a)}[kind]
        p = {"v": -b, "flow": -torch.ones_like(a)}.get(kind, torch.zeros_like(a))
        return self._held((q * a * x - b * said) / (q * a - b * p))

    def _held(self, x0: Tensor) -> Tensor:
        """Within the grey range; a latent has none."""
        if self.vae is not None:
            return x0
        mean, deviation = (self._per_channel(v, x0) for v in (self.config.mean, self.config.deviation))
        return torch.maximum(torch.minimum(x0, (1 - mean) / deviation), (-1 - mean) / deviation)

    def decode(self, x0: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in [-1, 1]."""
        mean, deviation = (self._per_channel(v, x0) for v in (self.config.mean, self.config.deviation))
        images = x0 * deviation + mean
        if self.vae is not None:
            images = pixel_shuffle(
                self.vae.decode(images.to(self.vae.dtype)).sample.float(), self.config.autoencoder_patch
            )
        return images.clamp(-1, 1)

    def to_grey(self, images: Tensor) -> np.ndarray[Any, Any]:
        """Images in [-1, 1] as ``(B, C, H, W)`` in the pixel type and on the grey scale of the training images."""
        unit = images.double().cpu().numpy()
        grey = (unit + 1) / 2 * (self.config.high - self.config.low) + self.config.low
        dtype = np.dtype(self.config.dtype)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            grey = np.clip(np.rint(grey), limits.min, limits.max)
        measured: np.ndarray[Any, Any] = grey.astype(dtype)
        return measured

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int | None = None,
        latents: Tensor | None = None,
        asked: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        guidance_scale: float | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw images.

        Args:
            batch_size: how many, where one thing or nothing is asked.
            generator: one, or one an image.
            num_inference_steps: noise levels that are gone through.
            latents: noise of variance 1 to start from, ``(B, C, H, W)`` in the shape of x_0.
            asked: values of conditions, ``{"porosity": 0.2}``, or such for each image; what is left out is not told.
            guidance_scale: weight of what is asked.
            output_type: "pil" for pictures of 8 bit, on the grey scale of the training images if those have 8 bit;
                "np" for ``(B, H, W, C)`` and "pt" for ``(B, C, H, W)``, both in [0, 1]; or "grey" for ``(B, C, H, W)``
                as the training images were.
            return_dict: give an ``ImagePipelineOutput`` rather than a tuple.
        """
        device = self._execution_device
        batch_size = batch_size if latents is None else len(latents)
        wishes = [dict(asked or {})] * batch_size if asked is None or isinstance(asked, Mapping) else list(asked)
        batch_size = len(wishes)
        given, untold = self.told(wishes), self.told([{}] * batch_size)
        weight = self.config.guidance if guidance_scale is None else guidance_scale
        low, high = self.config.guided
        noise = (
            randn_tensor((batch_size, *self.config.shape), generator=generator, device=device, dtype=torch.float32)
            if latents is None
            else latents.to(device, torch.float32)
        )
        self.scheduler.set_timesteps(num_inference_steps or self.config.steps, device=device)
        x = noise * self.scheduler.sigmas[0].to(device)
        for number, time in enumerate(self.progress_bar(self.scheduler.timesteps)):
            sigma = self.scheduler.sigmas[number].to(device)
            estimate = self.denoise(x, sigma, given)
            if weight != 1 and given is not None and low <= float(sigma) <= high:
                left = self.denoise(x, sigma, untold)
                estimate = left + weight * (estimate - left)
            # The scheduler undoes this: it asks for v, D = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) v.
            v = (x / (1 + sigma**2) - estimate) * torch.sqrt(1 + sigma**2) / sigma
            x = self.scheduler.step(v, time, x, return_dict=False)[0]
        images: Any = self.decode(x)
        if output_type == "grey":
            images = self.to_grey(images)
        else:
            images = (images + 1) / 2
            if output_type == "pil" and self.config.dtype == "uint8":
                images = torch.from_numpy(self.to_grey(2 * images - 1)) / 255
            if output_type != "pt":
                images = images.cpu().permute(0, 2, 3, 1).numpy()
            if output_type == "pil":
                images = self.numpy_to_pil(images)
        return ImagePipelineOutput(images=images) if return_dict else (images,)
