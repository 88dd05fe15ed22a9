"""Stage one: a small CLIP, from captions and from views of pictures.

The captions are short, as web text is, and say little of what tells two people apart. Beside them stands an
image-image term (SLIP, Mu et al. 2022): two views of one picture belong together. In a small share of the pairs the second view comes
from *another photograph* of the same person; that share, `Recipe.two_photographs`, is the dial of how much identity
the pre-trained encoder knows. At 0 it knows places and clothes, at 1 it would do Re-ID without fine-tuning.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import normalise
from ..world.captioning import caption_words
from ..world.figure import HEIGHT, WIDTH
from .fitting import fit
from .views import random_view

CONTEXT_LENGTH = 48  # tokens: the longest caption and its two ends
TEXT_WIDTH = 64
TAU = 0.1  # temperature of the image-image term


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
        tokenizer_object=core, model_max_length=CONTEXT_LENGTH,
        pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>",
    )  # fmt: skip


def clip_config(vocabulary: int) -> dict:
    """open_clip's model configuration of the lite CLIP: ViT with 8 x 8 patches on 64 x 32 pixels."""
    return {
        "embed_dim": 128,
        "quick_gelu": True,
        "vision_cfg": {"image_size": [HEIGHT, WIDTH], "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH, "vocab_size": vocabulary, "width": TEXT_WIDTH, "heads": 2, "layers": 2,
            "hf_tokenizer_name": "lite",
        },
    }  # fmt: skip


def two_view_loss(z: Tensor, tau: float = TAU) -> Tensor:
    """NT-Xent of SimCLR: z [2B, d], of unit length, holds the first views of B pictures, then the second ones; each row shall
    find its partner among all others."""
    similarity = (z @ z.t() / tau).fill_diagonal_(float("-inf"))
    half = len(z) // 2
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(half))


def train_clip(folder: Path, recipe, images: Tensor, second: Tensor, captions: list[str]) -> list[dict]:
    """Contrastive pre-training; writes an open_clip folder (config, safetensors, tokenizer). images: uint8 [N, 3, H, W], captioned;
    second: uint8 [M, 3, H, W], another photograph of each of the first M <= N people."""
    import open_clip
    from safetensors.torch import save_file

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = clip_config(len(tokenizer))
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1))
    torch.manual_seed(recipe.seed)
    model = open_clip.CLIP(**{k: (dict(v) if isinstance(v, dict) else v) for k, v in config.items()})
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(captions)
    criterion = open_clip.ClipLoss()

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        rows = torch.randint(len(images), (recipe.clip_batch,), generator=generator)
        other = images[rows].clone()
        met_twice = rows < len(second)
        other[met_twice] = second[rows[met_twice]]
        views = torch.cat([random_view(normalise(x), generator) for x in (images[rows], other)])
        with torch.autocast("cpu", torch.bfloat16):
            features = model.encode_image(views)
            text = model.encode_text(tokens[rows])
        z = F.normalize(features.float())
        return criterion(z[: len(rows)], F.normalize(text.float()), model.logit_scale.exp()) + two_view_loss(z)

    history = fit(model.parameters(), recipe.clip_steps, recipe.clip_lr, loss_of_step, "clip", weight_decay=0.05)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return history
