"""CLIP as it is published: its towers from a folder, a file or the hub, at the size of a Re-ID image."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..paths import weights_root
from .files import check_sizes, load_exactly, read_json, read_tensors
from .hub import hub_folder

if TYPE_CHECKING:
    from open_clip import CLIP
    from open_clip.transformer import VisionTransformer

_SIZES = ("width", "layers", "heads", "head_width", "patch_size")  # of a tower in open_clip's configurations


def load_clip_visual(source: str | os.PathLike, image_size: tuple[int, int]) -> "VisionTransformer":
    """The image tower of `load_clip`."""
    return load_clip(source, image_size).visual


def load_clip(source: str | os.PathLike, image_size: tuple[int, int]) -> "CLIP":
    """A CLIP with image and text tower in float32, its positions resized to `image_size` (height, width).

    source: an open_clip folder, or `NAME:TAG` of open_clip's registry such as
    `ViT-B-16-quickgelu:openai`. A named one is looked for in the weights folder (`ViT-B-16.pt` as
    OpenAI publishes it, or a folder called as its hub repository), in the hub's cache, and on the hub.

    Raises FileNotFoundError when the weights are neither here nor reachable, and ValueError, naming
    them, when tensors are missing, left over, of the wrong shape or not finite."""
    import open_clip

    if Path(source).is_dir():
        described = Path(source) / "open_clip_config.json"
        config, file = read_json(described).get("model_cfg"), Path(source) / "open_clip_model.safetensors"
    else:
        name, _, tag = str(source).partition(":")
        described = f"open_clip's {name}"
        config, file = open_clip.get_model_config(name), _clip_file(name, tag)
    towers = ("vision_cfg", "text_cfg")
    if not isinstance(config, dict) or not all(isinstance(config.get(tower), dict) for tower in towers):
        raise ValueError(f"{described} describes no CLIP; expected a model_cfg with vision_cfg and text_cfg.")
    for sizes in (config, config["vision_cfg"], config["text_cfg"]):
        check_sizes(sizes, ("embed_dim", "context_length", "vocab_size", *_SIZES), described)
    try:
        model = open_clip.CLIP(**{**config, "vision_cfg": {**config["vision_cfg"], "image_size": image_size}})
    except (TypeError, ValueError, AssertionError, IndexError) as error:  # a name, a list for a number, heads
        raise ValueError(
            f"{described} describes no CLIP that open_clip can build ({type(error).__name__}: {error})."
        ) from error
    state = read_tensors(file)
    for entry in ("input_resolution", "context_length", "vocab_size"):  # numbers that OpenAI keeps among the tensors
        state.pop(entry, None)
    if (positions := state.get("visual.positional_embedding")) is not None and positions.dim() == 2:
        state["visual.positional_embedding"] = resize_positions(positions, model.visual.grid_size)
    load_exactly(model, state, file)
    return model


def _clip_file(name: str, tag: str) -> Path:
    import open_clip

    known = open_clip.get_pretrained_cfg(name, tag)
    if not known:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none: open_clip does not know it"
        raise ValueError(f"{name}:{tag} is neither a folder nor in open_clip's registry; tags of {name}: {tags}.")
    if known.get("quick_gelu", False) != open_clip.get_model_config(name).get("quick_gelu", False):
        raise ValueError(
            f"{name}:{tag} was trained with another activation than {name} has; use {name}-quickgelu:{tag}."
        )
    published = weights_root() / Path(known.get("url") or "none").name  # ViT-B-16.pt
    if published.is_file():
        return published
    return hub_folder(known["hf_hub"].strip("/"), ["open_clip_model.safetensors"]) / "open_clip_model.safetensors"


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings [1 + s * s, d] of a class token and a square grid -> [1 + h * w, d], as the
    official code resizes them: bilinear, no anti-aliasing. Those that fit stay as they are."""
    if len(positions) == 1 + grid[0] * grid[1]:
        return positions
    side = math.isqrt(len(positions) - 1)
    if side * side != len(positions) - 1:
        return positions  # not a square grid: left for strict loading to name
    square = positions[1:].float().t().reshape(1, -1, side, side)  # [1, d, s, s]
    resized = F.interpolate(square, size=grid, mode="bilinear", align_corners=False)  # [1, d, h, w]
    return torch.cat([positions[:1].float(), resized.flatten(2)[0].t()])


def visual_architecture(visual: "VisionTransformer") -> dict:
    """Sizes of open_clip's VisionTransformer `visual`, from which `build_visual` makes another one."""
    from open_clip.transformer import QuickGELU

    block = visual.transformer.resblocks[0]
    return {
        "image_size": list(visual.image_size), "patch_size": visual.patch_size[0], "width": visual.conv1.out_channels,
        "layers": len(visual.transformer.resblocks), "heads": block.attn.num_heads,
        "output_dim": visual.output_dim, "quick_gelu": isinstance(block.mlp.gelu, QuickGELU),
    }  # fmt: skip


def build_visual(architecture: dict) -> "VisionTransformer":
    """A newly initialised image tower of the sizes in `visual_architecture`."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    expected = {"image_size", "patch_size", "width", "layers", "heads", "output_dim", "quick_gelu"}
    where = f"{architecture!r}, which describes no image tower,"
    if not isinstance(architecture, Mapping) or set(architecture) != expected:
        raise ValueError(f"{architecture!r} describes no image tower; expected {', '.join(sorted(expected))}.")
    check_sizes(architecture, expected - {"quick_gelu"}, where)
    sizes = dict(architecture)
    activation = QuickGELU if sizes.pop("quick_gelu") else nn.GELU
    try:
        return VisionTransformer(**sizes, mlp_ratio=4.0, act_layer=activation)
    except (TypeError, ValueError, AssertionError) as error:  # a list for a number, a size of three, indivisible heads
        raise ValueError(f"{architecture!r} describes no image tower ({type(error).__name__}: {error}).") from error
