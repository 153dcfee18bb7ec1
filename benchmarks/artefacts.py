"""How often `describe` finds stripes, rings and overlaps that were planted, and how often where there are none.

Phantoms of 256 x 256 pixels. A line is one pixel wide and has an excess of a share of the standard deviation of its
image. An overlap is a copy of half of an image or more, turned, with other contrast and noise.
"""

import argparse

import numpy as np

from morphogen.evaluation.duplicates import factor_for, near_duplicates, small
from morphogen.evaluation.memorisation import exact_share, planted_copies
from morphogen.images.image_set import Pictures
from morphogen.mathematics.stripes_and_rings import stripes_and_rings
from morphogen.phantoms.phantom import image_set, phantoms

KINDS = ("rock", "fiber", "root")
SIDE = 256


def planted(grey: np.ndarray, kind: str, place: int, excess: float) -> np.ndarray:
    """The image with a row, a column or a ring."""
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    radius = np.hypot(y - (grey.shape[0] - 1) / 2, x - (grey.shape[1] - 1) / 2)
    line = {"row": y == place, "column": x == place, "ring": np.abs(radius - place) < 0.5}[kind]
    return grey + excess * line


def said(hits: list[bool]) -> str:
    """A share with its exact 95 % interval."""
    share = exact_share(np.array(hits))
    return f"{share.hits} of {share.n} [{share.low:.3f}, {share.high:.3f}]"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="images of each kind")
    parser.add_argument("--seed", type=int, default=3)
    count, seed = (parser.parse_args().count, parser.parse_args().seed)
    random = np.random.default_rng(seed)
    alarms, caught, false = [], {}, []
    for kind in KINDS:
        images = list(image_set(phantoms(kind, count=count, size=(SIDE, SIDE), seed=seed)))
        found = [bool(stripes_and_rings(p.grey)) for p in images]
        alarms += found
        print(f"{kind}: stripes or rings where there are none: {said(found)}", flush=True)
        for share in (0.1, 0.2, 0.4):
            for line in ("row", "column", "ring"):
                hits = []
                for p in images[: count // 3]:
                    place = int(random.integers(20, 110))
                    lines = stripes_and_rings(planted(p.grey, line, place, share * p.grey.std()))
                    hits.append(any(f.kind == line and abs(f.place - place) <= 1 for f in lines))
                caught.setdefault((line, share), []).extend(hits)
        factor = factor_for(SIDE * 3 // 4)
        crops = [p.crop(0, 0, SIDE * 3 // 4, SIDE * 3 // 4) for p in images[:48]]
        again = []
        for k, p in enumerate(images[: min(24, count)]):
            down, right = (int(n) for n in random.integers(0, SIDE // 4, 2))
            crop = p.crop(down, right, SIDE * 3 // 4, SIDE * 3 // 4)
            again += list(planted_copies(Pictures([crop]), crop.size, 1, seed=seed + k))
        pairs = {(f.first, f.second) for f in near_duplicates([small(p, factor) for p in [*crops, *again]])}
        true = {(k, len(crops) + k) for k in range(len(again))}
        caught.setdefault(("overlap", 0.0), []).extend([pair in pairs for pair in sorted(true)])
        false.append(len(pairs - true))
        print(f"{kind}: overlaps that are none: {len(pairs - true)} in a set of {len(crops) + len(again)}", flush=True)
    print(f"all: stripes or rings where there are none: {said(alarms)}")
    for (line, share), hits in caught.items():
        name = line if line == "overlap" else f"{line} of {share:g} standard deviations"
        print(f"found: {name}: {said(hits)}")


if __name__ == "__main__":
    main()
