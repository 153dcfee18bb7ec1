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
"""

from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


class MorphogenPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """Draws images as its training images were: same shape, pixel type and grey scale.

    Args:
        unet: the network.
        scheduler: one of those of Karras et al., with ``sigma_data=1`` and ``prediction_type="v_prediction"``.
        vae: for latent diffusion, the autoencoder.
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
    """

    _optional_components = ["vae"]  # noqa: RUF012  # as diffusers has it
    model_cpu_offload_seq = "unet->vae"

    def __init__(
        self,
        unet: Any,
        scheduler: Any,
        vae: Any = None,
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
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae)
        self.register_to_config(
            predicts=predicts, patch=patch, autoencoder_patch=autoencoder_patch, shape=list(shape), mean=list(mean),
            deviation=list(deviation), low=low, high=high, dtype=dtype, steps=steps,
        )  # fmt: skip

    def _per_channel(self, values: Any, like: Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, None, None]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The estimate D of x_0 for images ``(B, C, H, W)`` at one noise level."""
        sigma = sigma.to(x.device, torch.float32)
        a = 1 / torch.sqrt(1 + sigma**2)
        b = sigma * a
        level = (100 * torch.log(sigma)).expand(len(x))
        patches = pixel_unshuffle((a * x).to(self.unet.dtype), self.config.patch)
        said = pixel_shuffle(self.unet(patches, level).sample, self.config.patch).float()
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
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw images.

        Args:
            batch_size: how many.
            generator: one, or one an image.
            num_inference_steps: noise levels that are gone through.
            latents: noise of variance 1 to start from, ``(B, C, H, W)`` in the shape of x_0.
            output_type: "pil" for pictures of 8 bit, on the grey scale of the training images if those have 8 bit;
                "np" for ``(B, H, W, C)`` and "pt" for ``(B, C, H, W)``, both in [0, 1]; or "grey" for ``(B, C, H, W)``
                as the training images were.
            return_dict: give an ``ImagePipelineOutput`` rather than a tuple.
        """
        device = self._execution_device
        noise = (
            randn_tensor((batch_size, *self.config.shape), generator=generator, device=device, dtype=torch.float32)
            if latents is None
            else latents.to(device, torch.float32)
        )
        self.scheduler.set_timesteps(num_inference_steps or self.config.steps, device=device)
        x = noise * self.scheduler.sigmas[0].to(device)
        for number, time in enumerate(self.progress_bar(self.scheduler.timesteps)):
            sigma = self.scheduler.sigmas[number].to(device)
            # The scheduler undoes this: it asks for v, D = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) v.
            v = (x / (1 + sigma**2) - self.denoise(x, sigma)) * torch.sqrt(1 + sigma**2) / sigma
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
