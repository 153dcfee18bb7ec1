"""Tiny pipelines of diffusers with random weights, saved as real ones are."""

import atexit
import json
import string
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

TOKENS = 16
"""Tokens that the tiny text encoder reads, with those of the beginning and the end."""


def tokenizer() -> Any:
    """Of single letters, as CLIP's: no word is unknown."""
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits, ",", "."]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=TOKENS)


def parts(unet_channels: int = 4, **unet: Any) -> dict[str, Any]:
    """The networks of a Stable Diffusion of a few thousand weights: one place of its latent is 2 x 2 pixels."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=TOKENS, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    shape: dict[str, Any] = {
        "sample_size": 8, "in_channels": unet_channels, "out_channels": 4, "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1, "cross_attention_dim": 16, "attention_head_dim": 2, "norm_num_groups": 4,
    }  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=16,
    ).eval()  # fmt: skip
    with torch.no_grad():  # sure of what it sees, as those are that have learnt: a log variance of -10
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -10
    return {
        "vae": vae,
        "text_encoder": CLIPTextModel(text).eval(),
        "tokenizer": words,
        "unet": UNet2DConditionModel(**shape | unet).eval(),
        "scheduler": DDIMScheduler(
            num_train_timesteps=100, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
            steps_offset=1, clip_sample=False, set_alpha_to_one=False,
        ),
    }  # fmt: skip


@cache
def small_pipelines() -> dict[str, Path]:
    """Folders of tiny pipelines by kind, made once and gone when the tests are over."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return save_pipelines(Path(folder.name))


def save_pipelines(folder: Path) -> dict[str, Path]:
    """One folder of each kind."""
    import diffusers
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    plain = parts()
    control = diffusers.ControlNetModel.from_unet(plain["unet"], conditioning_embedding_out_channels=(4, 8))
    for layer in [*control.controlnet_down_blocks, control.controlnet_mid_block]:
        torch.nn.init.normal_(layer.weight, std=0.5)  # zero where it has learnt nothing
    torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.5)
    vision = CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                              image_size=16, patch_size=4, projection_dim=8)  # fmt: skip
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    unclip = {
        "image_encoder": CLIPVisionModelWithProjection(vision).eval(),
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=8),
        "image_noising_scheduler": diffusers.DDPMScheduler(num_train_timesteps=100),
        "feature_extractor": None,
    }
    made = {
        "text": diffusers.StableDiffusionPipeline(**plain, **unchecked),
        "inpaint": diffusers.StableDiffusionInpaintPipeline(**parts(9), **unchecked),
        "instruct": diffusers.StableDiffusionInstructPix2PixPipeline(**parts(8), **unchecked),
        "control": diffusers.StableDiffusionControlNetPipeline(**plain, **unchecked, controlnet=control),
        "unclip": diffusers.StableUnCLIPImg2ImgPipeline(
            **parts(class_embed_type="projection", projection_class_embeddings_input_dim=16), **unclip
        ),
    }
    for name, pipeline in made.items():
        pipeline.save_pretrained(folder / name, safe_serialization=True)
    # What diffusers ships them with, and what needs torchvision to be opened.
    path = folder / "unclip" / "model_index.json"
    index = json.loads(path.read_text())
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    path.write_text(json.dumps(index))
    place = folder / "unclip" / "feature_extractor"
    place.mkdir()
    (place / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.25] * 3})
    )
    return {name: folder / name for name in made}
