"""Inception pool3, the features of the Frechet Inception distance: only with weights that the user brings.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(NeurIPS 2017). A Frechet distance may be called FID, and a kernel distance KID, only over these 2048 features of
this network. So they are called that where the file is the standard one, the TorchScript translation of the
original TensorFlow network of 2015-12-05, and nowhere else; any other file is named by its hash.

The network is called as ``network(images, return_features=True)`` with RGB values from 0 to 255 and must
return ``(n, features)``. Images are resized to 299 x 299 by the antialiased bicubic filter (Parmar,
Zhang and Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", CVPR 2022), which is
part of the name. Unlike the usual practice they are not rounded to 8 bit: a declared grey range takes
images of any depth to 0 to 255, values outside clipped.

Nothing is downloaded unless ``download=True`` asks for it.
"""

import hashlib
import io
import warnings
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch.nn import functional

from morphogen.evaluation.feature_table import FeatureTable
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.problems import Problem

STANDARD_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
STANDARD_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"

STANDARD_NAMES = {"Frechet distance": "FID", "kernel distance": "KID"}
"""What the metrics are called over the features of the standard network, and of no other."""

SIDE = 299
_RESIZE = f"resize {SIDE} bicubic antialiased"


class Extractor:
    """Features of an Inception network in a TorchScript file.

    Args:
        weights: the TorchScript file.
        sha256: what its hash must be; without it, the hash is only recorded in ``identity``.
        download: fetch the standard file (96 MB) into PyTorch's cache if it is not there. Not with
            ``weights``.

    Raises:
        Problem: no file, another hash, or a file that is not TorchScript.
    """

    def __init__(self, weights: str | Path | None = None, *, sha256: str | None = None, download: bool = False) -> None:
        if (weights is None) != download:
            raise Problem(
                "the Inception features need one source of weights",
                do="give the path of inception-2015-12-05.pt, or ask for its download, not both",
            )
        if weights is None:
            weights, sha256 = _downloaded(), STANDARD_SHA256
        file = Path(weights)
        if not file.is_file():
            raise Problem(f"there is no file {file}", do="give the path of a TorchScript Inception network")
        data = file.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise Problem(f"{file} has the SHA-256 {found}, not the expected {sha256}", do="fetch the file again")
        try:
            with warnings.catch_warnings():
                # PyTorch advises against TorchScript for new models; this one exists in no other form.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise Problem(f"{file} is not a TorchScript network", do="give a TorchScript file") from error
        standard = found == STANDARD_SHA256
        self.name = f"Inception pool3{'' if standard else f' (weights {found[:8]})'}, {_RESIZE}"
        self.metric_names = dict(STANDARD_NAMES) if standard else {}
        self.identity = hashlib.sha256(
            f"{found} pool3; declared range to 0 to 255, clipped; grey to RGB; {_RESIZE}".encode()
        ).hexdigest()[:16]

    @torch.no_grad()
    def __call__(self, images: ImageSet, intensity: IntensityMap) -> FeatureTable:
        """The features of a set.

        Args:
            images: grey or RGB images of any size.
            intensity: the declared grey range, that of the measured images.

        Raises:
            Problem: an image is neither grey nor RGB.
        """
        rows = []
        for picture in images:  # one at a time: sizes may differ, and each costs far more than the call
            if picture.channels not in (1, 3):
                raise Problem(
                    f"{self.name} cannot take an image of {picture.channels} channels",
                    do="give grey or RGB images",
                )
            unit = torch.from_numpy(intensity.to_unit(picture.pixels))[None].expand(1, 3, -1, -1)
            resized = functional.interpolate(unit, (SIDE, SIDE), mode="bicubic", antialias=True)
            features = self._network((resized.clamp(-1, 1) + 1) * 127.5, return_features=True)
            rows.append(features.double().flatten().numpy())
        return FeatureTable(
            features=self.name,
            extractor=self.identity,
            images=images.fingerprint,
            values=np.stack(rows),
            groups=tuple(picture.origin.specimen for picture in images),
            metric_names=self.metric_names,
        )


def _downloaded() -> Path:
    file = Path(torch.hub.get_dir()) / "checkpoints" / STANDARD_URL.rsplit("/", 1)[1]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(STANDARD_URL, str(file), hash_prefix=STANDARD_SHA256)
        except (URLError, RuntimeError) as error:  # RuntimeError: the hash is wrong
            raise Problem(
                f"could not download {STANDARD_URL} ({error})",
                do="fetch the file by hand and give its path",
            ) from error
    return file
