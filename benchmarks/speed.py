"""Speed, as ratios against a peer or a floor that is measured in the same run (`make benchmark`).

Absolute times differ from machine to machine and from minute to minute; ratios say more.
"""

import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.two_point_correlation import DESCRIPTOR
from morphogen.evaluation.descriptors.two_point_correlation import two_point_correlation as correlation_of
from morphogen.evaluation.distances.frechet import frechet_distance
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.cropping import RandomCrops
from morphogen.images.intensity import IntensityMap
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch, ImageShape, Task, method_class, method_settings
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.specimens.specimen import specimen

RUNS = 5


def fastest(call: Callable[[], object], runs: int = RUNS) -> float:
    """Shortest time of a call in seconds: what it takes when nothing else disturbs."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def two_point_correlation() -> tuple[str, float, str, float]:
    """S2 of a 512 x 512 field, with correlation lengths and integral range, against porespy's."""
    import porespy

    porespy.settings.ncores = torch.get_num_threads()
    field = phantoms("rock", count=1, size=(512, 512), seed=1)[0]
    pores = field.labels == 1
    return (
        "S2, radial and directional, 512 x 512",
        fastest(lambda: DESCRIPTOR(Section(field.picture, pores))),
        "porespy, radial",
        fastest(lambda: porespy.metrics.two_point_correlation(pores)),
    )


def two_point_correlation_of_a_volume() -> tuple[str, float, str, float]:
    """S2 of 128 x 128 x 128 voxels against porespy's."""
    import porespy

    porespy.settings.ncores = torch.get_num_threads()
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128, 128)), 4, mode="wrap")
    pores = smooth < np.quantile(smooth, 0.25)
    return (
        "S2, radial and directional, 128 x 128 x 128",
        fastest(lambda: correlation_of(pores)),
        "porespy, radial",
        fastest(lambda: porespy.metrics.two_point_correlation(pores)),
    )


def rock_descriptors() -> tuple[str, float, str, float]:
    """All of a rock but transport, on one field with its segmentation, against porespy's local thickness alone."""
    import porespy

    field = phantoms("rock", count=1, size=(256, 256), seed=1, porosity=0.3)[0]
    threshold = Threshold.otsu(image_set([field]), "dark")
    measured = [Section.of(field.picture, threshold)]
    describe = []
    for file in specimen("rock").descriptors:
        if file != "transport":
            of_file = descriptor(file)
            describe.append(of_file.fitted(measured) if hasattr(of_file, "fitted") else of_file)

    def read() -> None:
        section = Section.of(field.picture, threshold)
        for of_file in describe:
            of_file(section)

    return (
        f"{len(describe)} rock descriptors, 256 x 256",
        fastest(read),
        "porespy, local thickness",
        fastest(lambda: porespy.filters.local_thickness(measured[0].phase)),
    )


def frechet() -> tuple[str, float, str, float]:
    """Frechet distance with its interval against one plain sqrtm without."""
    rng = np.random.default_rng(0)
    tables = [
        FeatureTable("noise", "none", name, rng.normal(size=(1000, 512)), tuple(map(str, range(1000))))
        for name in ("a", "b")
    ]
    covariances = [np.cov(table.values, rowvar=False) for table in tables]
    ours = fastest(lambda: frechet_distance(measured=tables[0], generated=tables[1]), 3)
    return (
        "Frechet, 2 x 1000 x 512, 200 replicates",
        ours,
        "one scipy.linalg.sqrtm",
        fastest(lambda: scipy.linalg.sqrtm(covariances[0] @ covariances[1]), 3),
    )


def crops() -> tuple[str, float, str, float]:
    """A batch of crops against the training step of the smallest network that eats it."""
    images = image_set(phantoms("rock", count=4, size=(256, 256), seed=1))
    source = RandomCrops(images, (64, 64), IntensityMap.of(images), frozenset({"quarter_turn"}))
    settings = method_settings("vae")
    vae = method_class("vae")(settings, Task(ImageShape(1, 64, 64)))
    batch = Batch(source(0, settings.batch_size))

    def step() -> None:
        randomness = Randomness.of_images(0, 0, settings.batch_size)
        vae.loss("bound", batch, randomness).total.backward()

    return (
        "32 random crops of 64 x 64",
        fastest(lambda: source(0, settings.batch_size)),
        "a VAE step on them",
        fastest(step),
    )


def tomograph() -> tuple[str, float, str, float]:
    """256 rock fields drawn and seen by the tomograph, against scikit-image's projections and reconstructions alone.

    Theirs are timed on two fields and multiplied; both see the field's core under as many angles.
    """
    from skimage.transform import iradon, radon

    from morphogen.phantoms.instruments.tomograph import Tomograph

    fields, some = 256, 2
    through = Tomograph()
    labels = [p.labels for p in phantoms("rock", count=some, size=(128, 128), seed=1)]
    y, x = np.indices((182, 182)) - 90.5
    around = np.hypot(y, x) < 89.5  # about the circle through the corners of the field
    cores = [np.where(around, np.pad(field == 0, 27, mode="symmetric"), 0.0) for field in labels]
    angles = np.arange(through.angles) * 180 / through.angles

    def theirs() -> None:
        for field in cores:
            iradon(radon(field, angles, circle=True), angles, circle=True)

    return (
        f"tomograph, {fields} rock fields of 128 x 128",
        fastest(lambda: phantoms("rock", count=fields, size=(128, 128), seed=1, camera=through), 1),
        f"skimage, radon and iradon, {some} of them x {fields // some}",
        fastest(theirs, 1) * fields / some,
    )


def main() -> None:
    """Print the table."""
    table = Table(title=f"Fastest of {RUNS} runs, {torch.get_num_threads()} threads", title_justify="left")
    for column in ("what", "ms", "against", "ms", "times faster"):
        table.add_column(column, justify="right" if column in ("ms", "times faster") else "left")
    for measure in (two_point_correlation, two_point_correlation_of_a_volume, rock_descriptors, frechet, crops,
                    tomograph):  # fmt: skip
        what, ours, against, theirs = measure()
        table.add_row(what, f"{1e3 * ours:.1f}", against, f"{1e3 * theirs:.1f}", f"{theirs / ours:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
