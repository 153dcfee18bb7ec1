"""Export a diffusion run to a folder that diffusers opens: others can draw from it without Morphogen.

    unet/       the network, stock diffusers
    scheduler/  the noise levels of Karras et al., stock diffusers, with DPM-Solver++(2M)
    vae/        for latent diffusion the autoencoder, stock diffusers
    text_encoder/, tokenizer/   where a caption is a condition, stock transformers
    conditions/ what a run is conditioned on, as numbers: a perceptron
    morphogen_pipeline.py, model_index.json, README.md

``DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True)`` opens it; the code that is to be trusted is the
one file in the folder, a copy of ``exported_pipeline.py``. Parts open by themselves, without it. diffusers' own
``DDPMPipeline`` and ``DDIMPipeline`` cannot express what a run is: they know images in [-1, 1] with noise of variance 1
and a table of steps, a run knows images of mean 0 and variance 1, measured, and noise levels. No change of the weights
brings one to the other where the deviation of the images is not 1, since then the scale of the network's input depends
on the level; nor is there room for space-to-depth.

The estimate D(x, sigma) is the run's own, to rounding. What is drawn follows the same distribution, by the same solver
if the run's is ``dpm_solver`` on the levels of Karras et al., else up to the error of the solvers.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from morphogen.methods.denoising import CPU_PATCH, UNetMethod
from morphogen.methods.latent_diffusion import Method as LatentDiffusion
from morphogen.methods.method import method_class, method_names
from morphogen.networks.conditioned_unet import READER_WIDTH
from morphogen.pretrained.text_encoder import TextEncoder
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.run import Run
from morphogen.understanding.learners import learner_class
from morphogen.whole_files import require_free_folder, require_space, write_folder_whole, write_text_whole

PIPELINE = "morphogen_pipeline"
"""Name of the file in the folder that says how its parts work together."""


def export(run: Run | Path | str, folder: Path | str, *, text_encoder: Path | str | None = None) -> Path:
    """Write a run as a pipeline of diffusers.

    Args:
        run: of a diffusion method whose network is diffusers' UNet, told no masks or images.
        folder: where it goes; new or empty.
        text_encoder: of a run that reads captions: folder of its encoder, where that is no longer where it was.

    Returns:
        The folder.

    Raises:
        Problem: the run is of another method, is told or makes masks, or has no weights yet; no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the pipeline")
    _require_expressible(run)
    encoder = encoder_of(run.record.conditions, text_encoder)
    method: Any = run.trained_method()
    if not method.begun:
        raise Problem("the run was stopped before its denoiser began to learn", do="go on with its training")
    require_space(target, 4 * sum(p.numel() for p in method.parameters()), "the pipeline")
    import diffusers

    from morphogen.generation.exported_pipeline import MorphogenPipeline

    settings, record = method.settings, run.record
    latent = isinstance(method, LatentDiffusion)
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(
        sigma_min=settings.lowest_noise, sigma_max=settings.highest_noise, sigma_data=1.0,
        prediction_type="v_prediction", lower_order_final=False, final_sigmas_type="zero",
    )  # fmt: skip
    pipeline = MorphogenPipeline(
        method.network.unet, scheduler, method.autoencoder.kl if latent else None, **_told(run, method, encoder),
        predicts=settings.predicts,
        patch=1 if latent else settings.patch or CPU_PATCH,
        autoencoder_patch=settings.autoencoder_patch if latent else 1, shape=list(method.inside),
        mean=method.mean.flatten().tolist(), deviation=method.deviation.flatten().tolist(),
        low=record.intensity.low, high=record.intensity.high, dtype=record.intensity.dtype,
        steps=settings.sample_steps, guidance=settings.guidance,
        guided=[settings.guidance_from, settings.guidance_to],
    )  # fmt: skip

    def fill(place: Path) -> None:
        pipeline.save_pretrained(place, safe_serialization=True)
        _name_the_file(place / "model_index.json")
        for beside in (place, place / "conditions"):
            if beside.exists():
                shutil.copy(Path(__file__).with_name("exported_pipeline.py"), beside / f"{PIPELINE}.py")
        (place / "README.md").write_text(_readme(run), encoding="utf-8")

    write_folder_whole(target, fill)
    return target


def _require_expressible(run: Run) -> None:
    name, record = run.record.method, run.record
    kind = learner_class(name)
    if not issubclass(kind, UNetMethod | LatentDiffusion):
        able = ", ".join(n for n in method_names() if _fits(n))
        raise Problem(f"a run of {name} is no pipeline of diffusers", do=f"export one of {able}")
    if record.image_vector is not None:
        raise Problem(
            f"{run.folder} is told vectors of images, which an exported pipeline is not", do="export a run without"
        )
    if record.context is not None:
        what = f"the {record.context.kind} that it draws for"
        raise Problem(f"{run.folder} is told {what}, which an exported pipeline is not", do="export a run without")
    if record.with_masks:
        raise Problem(f"{run.folder} makes masks too, for which diffusers has no place", do="export a run without")


def _fits(method: str) -> bool:
    kind = method_class(method)
    return issubclass(kind, UNetMethod | LatentDiffusion) and not kind.needs_context


def _told(run: Run, method: Any, encoder: TextEncoder | None) -> dict[str, Any]:
    """The parts that read what a run is conditioned on."""
    conditions, network = run.record.conditions, method.network
    if not conditions:
        return {}
    from morphogen.generation.exported_pipeline import ConditionReader

    layers, text = network.conditions.layers, conditions.text
    reader = ConditionReader(
        [[number.name, number.low, number.high] for number in conditions.numbers],
        [[kind.name, list(kind.values)] for kind in conditions.classes],
        text="" if text is None else text.name, text_width=0 if text is None else text.width,
        out=layers[-1].out_features, tokens=network.always is not None,
        reads=0 if network.reader is None else READER_WIDTH,
    )  # fmt: skip
    reader.layers.load_state_dict(layers.state_dict())
    if text is None:
        return {"conditions": reader}
    reader.always.data.copy_(network.always)
    reader.reader.load_state_dict(network.reader.state_dict())
    assert encoder is not None
    network_of_text, tokenizer = encoder.parts
    return {"conditions": reader, "text_encoder": network_of_text, "tokenizer": tokenizer}


def _name_the_file(path: Path) -> None:
    """Where diffusers looks for the code of the pipeline: the file, and the class in it."""
    index = json.loads(path.read_text(encoding="utf-8"))
    index["_class_name"] = [PIPELINE, "MorphogenPipeline"]
    if (path.parent / "conditions").exists():
        index["conditions"] = [PIPELINE, "ConditionReader"]
    write_text_whole(path, json.dumps(index, indent=2) + "\n")


def _readme(run: Run) -> str:
    record = run.record
    channels, height, width = record.shape
    asked = ""
    if record.conditions:
        seen = record.conditions.decode(record.conditions.seen[0])
        if record.conditions.text is not None:
            seen[record.conditions.text.name] = record.conditions.seen_texts[0]
        asked = f"pictures = pipeline(batch_size=4, asked={seen!r}).images  # what is not asked is left open\n"
    return f"""# {record.method}, trained with Morphogen {record.lineage.morphogen}

Draws images of {height} x {width} pixels with {channels} channel{"s" * (channels > 1)}.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("this folder", trust_remote_code=True)  # runs {PIPELINE}.py
pictures = pipeline(batch_size=4).images  # 8 bit
{asked}measured = pipeline(batch_size=4, output_type="grey").images  # {record.intensity.dtype}, as the training images
```

Trained on {record.images.pictures} images (fingerprint {record.images.fingerprint}); a grey value of
{record.intensity.low:g} is -1 and {record.intensity.high:g} is 1 inside.
"""
