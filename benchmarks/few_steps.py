"""What few evaluations cost in quality (`python benchmarks/few_steps.py RUN --measured FOLDER --training FOLDER`).

A trained diffusion run is drawn from by 1000 ancestral steps, the reference, and by every solver with 20 evaluations of
the network; a student of that run, if one is given, in its own steps. All sets are held against measured images that
the run has not seen, in the kernel distances over VGG16 and over descriptors, and in the readings that the question is
about: the area fraction of the phase, and S2 at 4 and 16 pixels. The floor is the training images against them.

A set is as good as the reference where its value lies within the floor's interval moved to the reference's value: what
two sets of measured images differ by anyhow. The last column counts the student's distances in those of the reference.
"""

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from morphogen.evaluation.evaluate import evaluate
from morphogen.evaluation.records import Comparison
from morphogen.generation.generate import generate
from morphogen.images.folders import read_images
from morphogen.images.image_set import ImageSet
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.specimens.specimen import specimen
from morphogen.training.run import Run

REFERENCE = "ancestral, {} evaluations"


def steps_for(name: str, evaluations: int) -> int:
    """The most steps within a number of evaluations; 0 if there are none."""
    return max((n for n in range(1, evaluations + 1) if solver(name).evaluations(n) <= evaluations), default=0)


def drawn(
    run: Run, student: Run | None, chosen: list[str], args: argparse.Namespace, console: Console
) -> dict[str, ImageSet]:
    """The sets by what made them."""
    found: dict[str, ImageSet] = {}

    def draw(name: str, of: Run, **how: object) -> None:
        started = time.perf_counter()
        found[name] = generate(of, count=args.count, seed=args.seed, batch_size=args.batch_size, cpu=args.cpu, **how)  # type: ignore[arg-type]
        console.print(f"{name}: {(time.perf_counter() - started) / args.count:.3f} s an image")

    for name in chosen:
        steps = steps_for(name, args.evaluations)
        if steps:
            draw(f"{name}, {solver(name).evaluations(steps)} evaluations", run, solver=name, steps=steps)
    if student is not None:
        draw(f"student, {student.record.settings['steps']} evaluations", student)
    draw(REFERENCE.format(args.reference), run, solver="ancestral", steps=args.reference)
    return found


Value = tuple[float, float, float]


def values(found: Comparison, readings: list[str]) -> dict[str, dict[str, Value]]:
    """Of each measure, value and 95 % interval of each set: kernel distances, and differences of readings."""
    table: dict[str, dict[str, Value]] = {}
    for score in found.scores:
        if score.metric == "kernel distance":
            e = score.estimate
            table.setdefault(f"kernel distance, {score.features.split()[0]}", {})[score.compared] = (
                e.value,
                e.low,
                e.high,
            )
    for e in found.equivalences:
        if e.descriptor in readings and e.difference is not None and e.difference_95 is not None:
            table.setdefault(e.descriptor, {})[e.compared] = (e.difference, *e.difference_95)
    return table


def main() -> None:
    """Draw, compare, and print."""
    parser = argparse.ArgumentParser(description="What few evaluations cost in quality.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--student", type=Path)
    parser.add_argument("--specimen", default="rock")
    parser.add_argument("--solvers", nargs="*", help="[default: all]")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    console = Console(width=160)
    run, student = Run(args.run), Run(args.student) if args.student is not None else None
    sets = drawn(run, student, args.solvers or solver_names(), args, console)
    kind = specimen(args.specimen)
    found = evaluate(
        measured=read_images(args.measured), training=read_images(args.training), generated=sets,
        specimen=args.specimen, fields_at_most=args.count, intensity=run.record.intensity, seed=args.seed,
    ).comparison  # fmt: skip
    readings = [kind.fraction, "two-point correlation at 4 px", "two-point correlation at 16 px"]
    table = values(found, readings)
    reference = REFERENCE.format(args.reference)
    floor = {s.compared for s in found.scores if s.role == "floor"}.pop()
    for measure, of in table.items():
        centre, low, high = of[floor]
        shown = Table(
            measure, "value", "95 %", "less the reference", "within the floor's interval", "times the reference"
        )
        for name in (floor, *sets):
            value, start, end = of[name]
            apart = value - of[reference][0]
            distance = measure.startswith("kernel")
            fits = apart <= high - centre and (distance or low - centre <= apart)
            within = "" if name in (floor, reference) else "yes" if fits else "no"
            times = f"{value / of[reference][0]:.2f}" if distance and of[reference][1] > 0 else ""
            shown.add_row(name, f"{value:.4f}", f"[{start:.4f}, {end:.4f}]", f"{apart:+.4f}", within, times)
        console.print(shown)


if __name__ == "__main__":
    main()
