"""How the lite weights are made (notebook A1): a small CLIP and a small Stable Diffusion.

Both are pre-trained on the captioned `web` domain only, and saved in open_clip's and diffusers'
own folder layouts, so that real weights later load through the same code.
`python -m dcac_lite weights make OUT` runs the whole recipe; a finished stage is not repeated.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import normalise
from ..diffusion import denoising_loss, sample_latents, to_diffusion_input, vae_moments
from ..pretrained.captions import load_text_encoder
from ..progress import line, over
from ..world.domains import caption_words, web_sample
from ..world.renderer import HEIGHT, WIDTH

CONTEXT_LENGTH = 24  # tokens: the longest caption and its two ends
TEXT_WIDTH = 64
IMAGE_SIZE = 32  # the side of the diffusion model's square images


@dataclass(frozen=True)
class Recipe:
    """Steps and batch sizes of the three stages, and the number of `web` pictures they see."""

    images: int = 20_000
    clip_steps: int = 1_200
    clip_batch: int = 192
    vae_steps: int = 2_600
    vae_batch: int = 32
    unet_steps: int = 4_500
    unet_batch: int = 96
    seed: int = 0


LITE_RECIPE = Recipe()
SMOKE_RECIPE = Recipe(
    images=600, clip_steps=12, clip_batch=64, vae_steps=12, vae_batch=16, unet_steps=12, unet_batch=32
)


def web_images(start: int, count: int, progress=iter) -> tuple[Tensor, list[str]]:
    """Pictures `start` ... `start + count - 1` of the web domain, uint8 [N, 3, 64, 32], and captions."""
    images = np.empty((count, 3, HEIGHT, WIDTH), np.uint8)
    captions = []
    for k in progress(range(count)):
        sample = web_sample(start + k)
        images[k] = sample.picture.image.transpose(2, 0, 1)
        captions.append(sample.caption)
    return torch.from_numpy(images), captions


def _train(parameters, steps: int, lr: float, loss_of_step, label: str, weight_decay: float = 0.01) -> list[dict]:
    """AdamW with a one-cycle schedule; returns the smoothed loss every hundredth of the way."""
    parameters = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    history, recent = [], []
    start = time.time()
    for step in (bar := line(range(steps), label)):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step(torch.Generator().manual_seed(1_000_003 * step + 7), step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if (step + 1) % max(1, steps // 100) == 0 or step + 1 == steps:
            history.append(
                {"stage": label, "step": step + 1, "loss": float(np.mean(recent)), "seconds": time.time() - start}
            )
            bar.set_postfix(loss=f"{history[-1]['loss']:.4f}")
            recent = []
    return history


# ---------------------------------------------------------------- CLIP


def make_tokenizer():
    """A word-level tokenizer of the captions' vocabulary, in transformers' own format. The end token
    has the highest id, as open_clip's pooling expects."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<start>", *caption_words(), "<end>"]
    vocabulary = {word: k for k, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(t, vocabulary[t]) for t in ("<start>", "<end>")]
    core.post_processor = processors.TemplateProcessing("<start> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=CONTEXT_LENGTH,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<start>",
        eos_token="<end>",
    )


def clip_config(vocabulary: int) -> dict:
    """open_clip's model configuration of the lite CLIP: ViT with 8 x 8 patches on 64 x 32 pixels."""
    return {
        "embed_dim": 96,
        "quick_gelu": True,
        "vision_cfg": {"image_size": [HEIGHT, WIDTH], "patch_size": 8, "width": 96, "layers": 4, "head_width": 48},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocabulary,
            "width": TEXT_WIDTH,
            "heads": 2,
            "layers": 2,
            "hf_tokenizer_name": "lite",
        },
    }


def train_clip(folder: Path, recipe: Recipe, images: Tensor, captions: list[str]) -> list[dict]:
    """Contrastive pre-training; writes an open_clip folder (config, safetensors, tokenizer)."""
    import open_clip
    from safetensors.torch import save_file

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = clip_config(len(tokenizer))
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1)
    )
    torch.manual_seed(recipe.seed)
    model = open_clip.CLIP(**{k: (dict(v) if isinstance(v, dict) else v) for k, v in config.items()})
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(captions)
    criterion = open_clip.ClipLoss()

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        rows = torch.randint(recipe.images, (recipe.clip_batch,), generator=generator)
        x = normalise(images[rows])
        flip = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
        image_features, text_features, scale = model(x, tokens[rows])
        return criterion(image_features, text_features, scale)

    history = _train(model.parameters(), recipe.clip_steps, 1e-3, loss_of_step, "clip", weight_decay=0.05)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return history


# ---------------------------------------------------------------- Stable Diffusion


def train_vae(folder: Path, recipe: Recipe, images: Tensor) -> list[dict]:
    """AutoencoderKL, 32 x 32 x 3 to 8 x 8 x 4. Squared error and a small KL term, as SD's first
    stage without its perceptual and adversarial parts. Latents are scaled to unit variance."""
    from diffusers import AutoencoderKL

    torch.manual_seed(recipe.seed + 1)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
    )

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        rows = torch.randint(recipe.images, (recipe.vae_batch,), generator=generator)
        x = to_diffusion_input(images[rows], IMAGE_SIZE)
        flip = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 times faster on this size, at equal loss
            posterior = vae.encode(x).latent_dist
            output = vae.decode(posterior.sample(generator)).sample
        return F.mse_loss(output.float(), x) + 1e-5 * posterior.kl().mean() / x[0].numel()

    history = _train(vae.parameters(), recipe.vae_steps, 2e-3, loss_of_step, "vae", weight_decay=0.0)
    mean, _ = vae_moments(vae.eval(), images[:2000], IMAGE_SIZE).chunk(2, dim=1)
    vae.register_to_config(scaling_factor=float(1 / mean.std()))
    vae.save_pretrained(folder / "vae")
    return history


def save_text_encoder(clip_folder: Path, folder: Path) -> None:
    """The CLIP text tower as the transformers `CLIPTextModel` that diffusers' pipeline expects.
    The same weights under other names; a test compares the two outputs."""
    import open_clip
    from transformers import CLIPTextConfig, CLIPTextModel

    clip = open_clip.create_model(f"local-dir:{clip_folder}")
    tokenizer = make_tokenizer()
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, projection_dim=TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CONTEXT_LENGTH, hidden_act="quick_gelu",
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    ))  # fmt: skip
    state = {
        "embeddings.token_embedding.weight": clip.token_embedding.weight,
        "embeddings.position_embedding.weight": clip.positional_embedding,
        "final_layer_norm.weight": clip.ln_final.weight,
        "final_layer_norm.bias": clip.ln_final.bias,
    }
    for n, block in enumerate(clip.transformer.resblocks):
        layer = f"encoder.layers.{n}"
        for part in ("weight", "bias"):
            for name, value in zip("qkv", getattr(block.attn, f"in_proj_{part}").chunk(3)):
                state[f"{layer}.self_attn.{name}_proj.{part}"] = value
            state[f"{layer}.self_attn.out_proj.{part}"] = getattr(block.attn.out_proj, part)
            state[f"{layer}.layer_norm1.{part}"] = getattr(block.ln_1, part)
            state[f"{layer}.layer_norm2.{part}"] = getattr(block.ln_2, part)
            state[f"{layer}.mlp.fc1.{part}"] = getattr(block.mlp.c_fc, part)
            state[f"{layer}.mlp.fc2.{part}"] = getattr(block.mlp.c_proj, part)
    prefix = "text_model." if any(k.startswith("text_model.") for k in model.state_dict()) else ""
    model.load_state_dict({prefix + k: v.detach().clone() for k, v in state.items()}, strict=True)
    model.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")


def train_unet(folder: Path, recipe: Recipe, images: Tensor, captions: list[str]) -> list[dict]:
    """UNet2DConditionModel on 8 x 8 latents, cross-attention on the caption's tokens; one caption in
    ten is left empty so that classifier-free guidance works. Completes a diffusers pipeline folder."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    moments = torch.stack([vae_moments(vae, images, IMAGE_SIZE), vae_moments(vae, images.flip(-1), IMAGE_SIZE)])
    context = load_text_encoder(folder)([*captions, ""])
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    torch.manual_seed(recipe.seed + 2)
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 4,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        size = (recipe.unet_batch,)
        rows = torch.randint(recipe.images, size, generator=generator)
        flip = torch.randint(2, size, generator=generator)
        chosen = moments[flip, rows]
        empty = torch.rand(size, generator=generator) < 0.1
        prompt = context[torch.where(empty, len(context) - 1, rows)]
        latents = sample_latents(
            chosen, vae.config.scaling_factor, torch.randn(chosen[:, :4].shape, generator=generator)
        )
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(1000, size, generator=generator)
        return denoising_loss(unet, scheduler, latents, noise, timesteps, prompt)

    history = _train(unet.parameters(), recipe.unet_steps, 1.5e-3, loss_of_step, "unet")
    unet.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return history


# ---------------------------------------------------------------- the recipe


def pretrain(out: Path, recipe: Recipe = LITE_RECIPE, stages: tuple[str, ...] = ("clip", "vae", "unet")) -> list[dict]:
    """Run the recipe into `out`/clip and `out`/stable-diffusion; returns the loss history.

    A stage whose `history-STAGE.json` exists is finished and is not repeated; it is written last, by
    renaming, so an interrupted stage starts again."""
    clip_folder, sd_folder = out / "clip", out / "stable-diffusion"
    history: list[dict] = []
    data = None
    for stage in stages:
        record = out / f"history-{stage}.json"
        if not record.exists():
            if data is None:
                data = web_images(0, recipe.images, over("drawing the web domain"))
            images, captions = data
            clip_folder.mkdir(parents=True, exist_ok=True)
            sd_folder.mkdir(parents=True, exist_ok=True)
            if stage == "clip":
                entries = train_clip(clip_folder, recipe, images, captions)
                save_text_encoder(clip_folder, sd_folder)
            elif stage == "vae":
                entries = train_vae(sd_folder, recipe, images)
            else:
                entries = train_unet(sd_folder, recipe, images, captions)
            temporary = record.with_suffix(".part")
            temporary.write_text(json.dumps({"recipe": asdict(recipe), "history": entries}))
            os.replace(temporary, record)
        history += json.loads(record.read_text())["history"]
    return history
