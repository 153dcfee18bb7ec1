"""Teach a pipeline a laboratory's images by changes of low rank. Hu et al. 2021 (arXiv:2106.09685).

The pipeline's weights W stand still. Beside each projection of its UNet's attention (queries, keys, values, output) a
product of two thin matrices learns,

    W x + B A x,    A (rank, inputs) normal, B (outputs, rank) zero at first

(peft's, with alpha = rank, so that the scale is 1), under the loss that the pipeline was trained with (Rombach et al.
2022, arXiv:2112.10752, equation 3): crops are encoded as E(x), noised to a random step t of its own schedule, and

    L = || network(a z + b n, t, caption) - (p z + q n) ||^2    (p, q: ``mathematics.prediction_targets``)

A grey crop is seen three times, as colours. Captions are left out at random, so that guidance keeps something to stand
on. The loop is the one of all training (``fit``): the same images, noise and first weights for the same seed.

What comes out is a folder with ``pytorch_lora_weights.safetensors``, which diffusers' ``load_lora_weights`` and
``load_lora_adapter`` open, and ``lora.json``, which says what it learnt from: images drawn with it have the pixel type,
grey scale and pixel size of those. ``checkpoint.safetensors`` is what training goes on from, bit for bit where it would
have gone; diffusers looks past a file of that name.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pydantic import Field, ValidationError
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import morphogen
from morphogen.images.conditions import CAPTION
from morphogen.images.cropping import RandomCrops, require_room
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import stored_spacing
from morphogen.mathematics.noise_levels import add_noise, signal_level
from morphogen.mathematics.prediction_targets import Target, target
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch, ImageShape, Loss, MethodSettings, Phase, Sizes, Trainable
from morphogen.pretrained.pipeline import (
    LORA_RECORD,
    LORA_WEIGHTS,
    LoraRecord,
    Pipeline,
    PipelineIndex,
    read_lora_record,
    require_peft,
)
from morphogen.pretrained.readable_text import require_readable_text
from morphogen.problems import Problem, as_problem
from morphogen.progress import status
from morphogen.training.captions import staying_true
from morphogen.training.fit import NotFiniteError, Plan, StepReport, fit, new_state
from morphogen.training.run import read_state, write_state
from morphogen.training.train import REPORT_EVERY_SECONDS, DivergedError, stop_between_steps, uses_gpu
from morphogen.whole_files import new_folder, require_free_folder, write_text_whole, write_whole

_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_TARGETS: dict[str, Target] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
_WARM_UP_STEPS = 20
_ADAPTER = "lora"
CHECKPOINT = "checkpoint.safetensors"
"""Name of the file that training goes on from."""


class LoraSettings(MethodSettings):
    """What a LoRA can be told."""

    batch_size: int = Field(default=4, ge=1, description="images a step")
    rank: int = Field(default=8, ge=1, description="of the changes")
    learning_rate: float = Field(default=2e-4, gt=0, description="at its highest; it falls as a cosine")
    caption_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of images whose caption is left out")


class LowRankChanges(Trainable):
    """Changes of low rank to a pipeline's UNet, and nothing else of the pipeline.

    Args:
        settings: of the LoRA.
        pipeline: which is changed in place.
        captions: that a batch names by number, as its condition.
        seed: of the first weights.
    """

    settings: LoraSettings

    def __init__(self, settings: LoraSettings, pipeline: Pipeline, captions: Sequence[str], seed: int) -> None:
        super().__init__(settings)
        from peft import LoraConfig

        parts = pipeline.diffusers
        for part in (parts.unet, parts.vae, parts.text_encoder):
            part.eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts.unet.add_adapter(
                LoraConfig(r=settings.rank, lora_alpha=settings.rank, init_lora_weights="gaussian",
                           target_modules=list(_PROJECTIONS)),
                adapter_name=_ADAPTER,
            )  # fmt: skip
        self.changes = nn.ParameterList([p for name, p in parts.unet.named_parameters() if "lora_" in name])
        self._pipeline = (pipeline,)  # hidden from torch, which would count and save its weights with the changes
        self._states = _text_states(pipeline, ["", *captions])
        self._alpha_bar = parts.scheduler.alphas_cumprod.double()
        self._kind = _TARGETS[parts.scheduler.config.prediction_type]
        self.phases = (
            Phase("denoising", trains=("changes",), learning_rate=settings.learning_rate, betas=(0.9, 0.99), falls=True,
                  warm_up_images=_WARM_UP_STEPS * settings.batch_size),
        )  # fmt: skip

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Mean squared error of the pipeline's own prediction."""
        parts = self._pipeline[0].diffusers
        assert batch.condition is not None
        images = batch.images.expand(-1, 3, -1, -1)  # (B, 3, H, W) in [-1, 1]
        with torch.no_grad():
            found = parts.vae.encode(images).latent_dist
            latent = found.mean + found.std * randomness.normal(*found.mean.shape[1:])
            latent = latent * parts.vae.config.scaling_factor
        step = randomness.integers(len(self._alpha_bar))  # (B,)
        level = signal_level(self._alpha_bar[step.cpu()])
        noise = randomness.normal(*latent.shape[1:])
        told = batch.condition[:, 0].long() + 1
        told = torch.where(randomness.uniform() < self.settings.caption_dropout, 0, told)
        said = parts.unet(add_noise(latent, noise, level), step, self._states[told]).sample
        loss = mse_loss(said.float(), target(self._kind, latent, noise, level).float())
        return Loss(loss, {"denoising": loss})

    def weights(self) -> dict[str, Tensor]:
        """What is learnt, by the names that diffusers looks for."""
        from peft.utils import get_peft_model_state_dict

        unet = self._pipeline[0].diffusers.unet
        found = get_peft_model_state_dict(unet, adapter_name=_ADAPTER)
        return {f"unet.{name}": value.detach().cpu().contiguous() for name, value in found.items()}


class CaptionedCrops:
    """Crops with the number of their caption, as the loop asks for them.

    Args:
        crops: of the images.
        captions: for each caption its number.
        caption: of all images; None where each has its own.
    """

    def __init__(self, crops: RandomCrops, captions: Sequence[str], caption: str | None) -> None:
        self.crops, self.caption = crops, caption
        self._numbers = {text: number for number, text in enumerate(captions)}

    def __call__(self, first: int, count: int) -> Batch:
        """Images ``first`` to ``first + count - 1`` by running number."""
        numbers = [0.0] * count
        if self.caption is None:
            numbers = [
                float(self._numbers[str(self.crops.crop(k).labels[CAPTION])]) for k in range(first, first + count)
            ]
        return Batch(self.crops(first, count), torch.tensor(numbers)[:, None])


def lora(
    pipeline: Path | str,
    images: ImageSet,
    folder: Path | str,
    *,
    rank: int = 8,
    caption: str | None = None,
    seconds: float | None = None,
    images_seen: int | None = None,
    size: tuple[int, int] | None = None,
    symmetries: frozenset[str] = frozenset(),
    seed: int = 0,
    clip_percent: float = 0.0,
    batch_size: int = 4,
    learning_rate: float = 2e-4,
    save_every_seconds: float = 60.0,
    go_on: bool = False,
    cpu: bool = False,
    on_report: Callable[[StepReport], None] | None = None,
) -> LoraRecord:
    """Teach a pipeline a laboratory's images.

    Args:
        pipeline: folder of a pipeline that is told a text, as Stable Diffusion.
        images: measured images, grey or colour, all at least as large as a crop.
        folder: where the LoRA goes; new or empty unless ``go_on``.
        rank: of the changes.
        caption: one for all images; by default each has its own, as its label "caption".
        seconds: budget in seconds; 600 where no budget is given.
        images_seen: budget in images seen, instead of seconds.
        size: height and width of the crops; by default those that the pipeline learnt from.
        symmetries: flips and turns that the specimen allows, as in ``train``.
        seed: of first weights, crops and noise.
        clip_percent: see ``IntensityMap.of``.
        batch_size: images a step.
        learning_rate: at its highest.
        save_every_seconds: time between two times that what is learnt is written.
        go_on: continue the LoRA in ``folder`` to the (new) budget instead of starting one; all else as it was given.
        cpu: stay on the CPU even where there is a GPU.
        on_report: called after every step.

    Returns:
        What the folder says of the LoRA.

    Raises:
        Problem: anything that a person can put right, before training starts.
        DivergedError: a loss became NaN or infinite; what was written last is kept.
        KeyboardInterrupt: Ctrl-C, after what was learnt so far was written.
    """
    require_peft()
    if seconds is None and images_seen is None:
        seconds = 600.0
    try:
        settings = LoraSettings(batch_size=batch_size, rank=rank, learning_rate=learning_rate)
    except ValidationError as error:
        raise as_problem(error, "the LoRA", LoraSettings) from None
    try:
        plan = Plan(seconds=seconds, images=images_seen, seed=seed, save_every_seconds=save_every_seconds)
    except ValidationError as error:
        raise as_problem(error, "the plan", Plan) from None
    index = PipelineIndex.read(pipeline)
    captions = _captions(images, caption)
    if images[0].channels not in (1, 3):
        raise Problem(f"the images have {images[0].channels} channels, and pipelines see grey or RGB",
                      do="give one or three")  # fmt: skip
    target_folder = Path(folder) if go_on else require_free_folder(Path(folder), "the LoRA")
    known = _to_go_on_with(target_folder) if go_on else None
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(cpu=not uses_gpu(cpu), mixed_precision="no")
    if accelerator.num_processes > 1:
        raise Problem("a LoRA is trained by one process", do="start it without torchrun")
    with status("Opening the pipeline"):
        opened = Pipeline(pipeline, device=accelerator.device)
    if opened.kind != "text":
        raise Problem(
            f"{pipeline} is a {index.name}, which is told more than a text", do="give a text-to-image pipeline"
        )
    scheduler = opened.diffusers.scheduler
    if not hasattr(scheduler, "alphas_cumprod") or scheduler.config.get("prediction_type") not in _TARGETS:
        raise Problem(
            f"{pipeline} has a {type(scheduler).__name__}, whose noise is not that of Stable Diffusion",
            do="give a pipeline with another scheduler, as DDIMScheduler",
        )
    for text in captions:
        opened.require_readable(text)
    height, width = size or (opened.size, opened.size)
    shape = ImageShape(images[0].channels, height, width)
    Sizes(multiple_of=opened.multiple, at_least=opened.multiple).check(index.name, shape)
    require_room(images, (height, width))
    intensity = IntensityMap.of(images, clip_percent)
    model = LowRankChanges(settings, opened, captions, seed).to(accelerator.device)
    symmetries = staying_true(captions, symmetries)
    crops = CaptionedCrops(RandomCrops(images, (height, width), intensity, symmetries, seed), captions, caption)
    spacings = {picture.spacing_um for picture in images}
    spacing = spacings.pop() if len(spacings) == 1 else (float("nan"), float("nan"))
    wanted = LoraRecord(
        pipeline=str(Path(pipeline).absolute()), weights=opened.unet_sha256, rank=rank, captions=tuple(captions),
        size=(height, width), channels=shape.channels, intensity=intensity, spacing_um=stored_spacing(spacing),
        trained_on=images.fingerprint, seed=seed, settings=settings.model_dump(),
        symmetries=tuple(sorted(symmetries)), images_seen=0, seconds=0.0, morphogen=morphogen.__version__,
    )  # fmt: skip
    if known is not None:
        _require_same(target_folder, known, wanted)
        state = read_state(target_folder / CHECKPOINT, model)
        state.finished = plan.fraction(state.seconds, state.images_seen) >= 1.0
    else:
        state = new_state(model)
    made = target_folder if go_on else new_folder(target_folder, "the LoRA")
    last_saved = state.seconds

    def write() -> LoraRecord:
        record = wanted.model_copy(update={"images_seen": state.images_seen, "seconds": round(state.seconds, 1)})
        data = save(model.weights(), metadata={"format": "pt"})
        # The checkpoint last: what it goes on from is never older than what it says of itself.
        write_whole(made / LORA_WEIGHTS, lambda temporary: temporary.write_bytes(data))
        write_text_whole(made / LORA_RECORD, record.model_dump_json(indent=1))
        write_state(made / CHECKPOINT, model, state)
        return record

    with _Progress(made, state.seconds) as progress, stop_between_steps() as stop:
        try:
            for report in fit(model, crops, plan, state, accelerator):
                progress.write(report)
                if on_report is not None:
                    on_report(report)
                if stop.is_set():
                    break
                if state.seconds - last_saved >= save_every_seconds and not state.finished:
                    write()
                    last_saved = state.seconds
        except NotFiniteError as error:
            raise DivergedError(
                f"the loss of the LoRA is no longer finite at step {error.step}", do="choose a smaller learning rate"
            ) from None
    record = write()
    if stop.is_set():
        raise KeyboardInterrupt
    return record


class _Progress:
    """Losses in progress.jsonl, a line the mean since the last one, and on the terminal."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._path = folder / "progress.jsonl"
        self._since: list[float] = []
        self._last = seconds

    def __enter__(self) -> "_Progress":
        self._file = open(self._path, "a", encoding="utf-8")
        self._status = status("Training a LoRA")
        self._tell = self._status.__enter__()
        return self

    def write(self, report: StepReport) -> None:
        self._since.append(report.losses["denoising"])
        if report.seconds - self._last < REPORT_EVERY_SECONDS and report.fraction < 1:
            return
        loss, self._since, self._last = sum(self._since) / len(self._since), [], report.seconds
        line: dict[str, Any] = {
            "step": report.step, "images_seen": report.images_seen, "seconds": round(report.seconds, 3),
            "losses": {"denoising": round(loss, 6)},
        }  # fmt: skip
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self._tell(f"Training a LoRA: {report.fraction:.0%}, {report.images_seen:,} images, loss {loss:.3g}")

    def __exit__(self, *error: Any) -> None:
        self._status.__exit__(*error)
        self._file.close()


def _to_go_on_with(folder: Path) -> LoraRecord:
    """What the LoRA in a folder learnt from.

    Raises:
        Problem: there is none, or nothing to go on from.
    """
    known = read_lora_record(folder)
    if known is None or not (folder / CHECKPOINT).exists():
        raise Problem(f"{folder} holds no LoRA to go on with", do="give the folder of one, or start a new one")
    return known


def _require_same(folder: Path, known: LoraRecord, wanted: LoraRecord) -> None:
    """Refuse to go on with anything but the budget changed."""
    for what, started, given in (
        ("the UNet", known.weights[:12], wanted.weights[:12]),
        ("the images of fingerprint", known.trained_on, wanted.trained_on),
        ("captions", ", ".join(known.captions)[:60], ", ".join(wanted.captions)[:60]),
        ("crops of", known.size, wanted.size),
        (
            "grey values from",
            (known.intensity.low, known.intensity.high),
            (wanted.intensity.low, wanted.intensity.high),
        ),
        ("symmetries", known.symmetries, wanted.symmetries),
        ("seed", known.seed, wanted.seed),
        *((f"{name} =", known.settings.get(name), value) for name, value in wanted.settings.items()),
    ):
        if started != given:
            raise Problem(
                f"{folder} was started with {what} {started}, not {given}",
                do="give what it was started with, or start a new LoRA",
            )


def _captions(images: ImageSet, caption: str | None) -> list[str]:
    """The captions there are, each once."""
    if caption is not None:
        found = [caption]
    else:
        lacking = [picture for picture in images if not str(picture.labels.get(CAPTION, "")).strip()]
        if lacking:
            raise Problem(
                f"{lacking[0].origin.source or lacking[0].origin.specimen} has no caption",
                do="give one for all images, or a column 'caption' in labels.csv",
            )
        found = list(dict.fromkeys(str(picture.labels[CAPTION]) for picture in images))
    for text in found:
        require_readable_text(text)
    return found


def _text_states(pipeline: Pipeline, texts: Sequence[str]) -> Tensor:
    """What the pipeline's UNet sees of texts: ``(texts, tokens, width)``."""
    parts = pipeline.diffusers
    with torch.no_grad():
        states = [parts.encode_prompt(text, parts.device, 1, False)[0] for text in texts]
    return torch.cat(states)
