"""Stage one: a small CLIP, from captions and from views of pictures.

The captions are short, as web text is, and say little of what tells two people apart. Beside them stands an image-image
term (SLIP, Mu et al. 2022) on a projection head of its own: two views of one picture belong together. For a share of
the people the second view comes from *another photograph*; that share, `Recipe.two_photographs`, is the dial of how
much identity the pre-trained trunk knows.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment import normalise
from ..lean import lean_visual
from ..world.captioning import caption_words
from ..world.figure import HEIGHT, WIDTH
from ..world.people import WEB_GROUP
from .fitting import fit
from .views import random_view

CONTEXT_LENGTH = 48  # tokens: the longest caption and its two ends
TEXT_WIDTH = 64
WARM_UP = 700  # steps, of a short training at most a quarter
TAU = 0.1  # temperature of the image-image term


@dataclass(frozen=True)
class Pieces:
    """What the stage is made of; `lite_weights.pieces` measures what each is worth.

    captions, views: the factors of the two terms. strength: of the views, see `views.random_view`. groups: whether a
    batch holds people who are dressed alike. layers: transformer blocks of the image encoder."""

    captions: float = 1.0
    views: float = 1.0
    strength: float = 1.0
    groups: bool = True
    layers: int = 4


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


def clip_config(vocabulary: int, layers: int) -> dict:
    """open_clip's model configuration of the lite CLIP: ViT with 8 x 8 patches on 64 x 32 pixels."""
    size = [HEIGHT, WIDTH]
    return {
        "embed_dim": 128,
        "quick_gelu": True,
        "vision_cfg": {"image_size": size, "patch_size": 8, "width": 128, "layers": layers, "head_width": 32},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH, "vocab_size": vocabulary, "width": TEXT_WIDTH, "heads": 2, "layers": 2,
            "hf_tokenizer_name": "lite",
        },
    }  # fmt: skip


def two_view_loss(z: Tensor, tau: float = TAU) -> Tensor:
    """NT-Xent of SimCLR: z [2B, d], of unit length, holds the first views of B pictures, then the second ones; each
    row shall find its partner among all others."""
    similarity = (z @ z.t() / tau).fill_diagonal_(float("-inf"))
    half = len(z) // 2
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(half))


def projection_head(width: int) -> nn.Module:
    """From the class token to the space of the image-image term, as in SimCLR. It is thrown away after pre-training:
    what the term asks for stays in the trunk and out of the features that captions are compared with."""
    return nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 128))


def train_clip(
    folder: Path, recipe, images: Tensor, second: Tensor, captions: list[str], pieces: Pieces = Pieces()
) -> list[dict]:
    """Contrastive pre-training; writes an open_clip folder (config, safetensors, tokenizer).

    images: uint8 [N, 3, H, W], captioned; second: uint8 [M, 3, H, W], another photograph of each of the first
    M <= N people. Returns the history of `fitting.fit`."""
    import open_clip
    from safetensors.torch import save_file

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = clip_config(len(tokenizer), pieces.layers)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1)
    )
    torch.manual_seed(recipe.seed)
    model = open_clip.CLIP(**{k: (dict(v) if isinstance(v, dict) else v) for k, v in config.items()})
    head = projection_head(config["vision_cfg"]["width"])
    lean_visual(model.visual)
    trunk: list[Tensor] = []
    hook = model.visual.ln_post.register_forward_hook(lambda module, args, out: trunk.append(out[:, 0]))
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(captions)
    criterion = open_clip.ClipLoss()

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        together = WEB_GROUP if pieces.groups else 1
        groups = torch.randint(len(images) // together, (recipe.clip_batch // together, 1), generator=generator)
        rows = (together * groups + torch.arange(together)).flatten()
        other = images[rows].clone()
        met_twice = rows < len(second)
        other[met_twice] = second[rows[met_twice]]
        views = torch.cat([random_view(normalise(x), generator, pieces.strength) for x in (images[rows], other)])
        with torch.autocast("cpu", torch.bfloat16):
            features = model.encode_image(views)
            text = model.encode_text(tokens[rows])
            z = head(trunk.pop())
        captioned = F.normalize(features[: len(rows)].float())
        captions_loss = criterion(captioned, F.normalize(text.float()), model.logit_scale.exp())
        return pieces.captions * captions_loss + pieces.views * two_view_loss(F.normalize(z.float()))

    module = nn.ModuleDict({"clip": model, "head": head})
    partial = folder / "partial.pt"
    warm_up = min(WARM_UP, max(1, recipe.clip_steps // 4))
    history = fit(module, recipe.clip_steps, recipe.clip_lr, warm_up, loss_of_step, "clip", partial, weight_decay=0.05)
    hook.remove()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    partial.unlink()
    return history
