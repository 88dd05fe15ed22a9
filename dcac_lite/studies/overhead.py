"""Table 6 counted: parameters and forward cost of the full-scale models on torch's meta device, where nothing is
allocated, so that any laptop can count a billion parameters."""

from copy import deepcopy
from functools import cache

import torch
from torch import nn

from ..adaptation import adapt
from ..conditioning import make_condition
from ..encoder import ReIDModel
from ..pretrained.clip import build_visual
from ..pretrained.single_file import SD15_UNET, SD15_VAE
from ..tiers import FULL
from .tables import TABLES, paper_value

MARKET_IDENTITIES = 751
INFERENCE = "Inference"


@cache
def _encoder() -> tuple[ReIDModel, nn.Module]:
    """ViT-B/16 at the paper's image size with the head for Market1501, and the correlation-aware condition."""
    vit_b_16 = {"patch_size": 16, "width": 768, "layers": 12, "heads": 12, "output_dim": 512, "quick_gelu": True}
    with torch.device("meta"):
        visual = build_visual({"image_size": FULL.image_size} | vit_b_16)
        condition = make_condition("correlation-aware", MARKET_IDENTITIES, 512, 768, 0.6)
        return ReIDModel(visual, MARKET_IDENTITIES), condition


@cache
def _diffusion() -> tuple[nn.Module, nn.Module]:
    """U-Net and VAE of Stable Diffusion 1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(**SD15_UNET), AutoencoderKL(**SD15_VAE)


def _learning(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def parameters():
    """Parameters that learn, in millions, a DataFrame with one row for each line of Table 6: row, paper, counted. As
    in the paper, the frozen patch projection is in no count, the one at inference included."""
    import pandas as pd

    reid, condition = _encoder()
    counts = {}
    for row in TABLES[6].rows:
        counts[row.name] = _learning(reid)
        if row.options.get("conditioning") != "none":
            with torch.device("meta"):
                unet = adapt(deepcopy(_diffusion()[0]), row.options.get("adaptation", "lora"), 8)
            counts[row.name] += _learning(condition) + _learning(unet)
    counts[INFERENCE] = _learning(reid.visual)
    names = {row.name: row.paper for row in TABLES[6].rows} | {INFERENCE: INFERENCE}
    printed = {row: paper_value(6, name, (), "", "params_M") for row, name in names.items()}
    return pd.DataFrame([{"row": r, "paper": printed[r], "counted": n / 1e6} for r, n in counts.items()])


def forward_cost():
    """TFLOP of a forward pass of one batch by part, two for each multiply-add, a DataFrame: part, TFLOP. The image
    tower projects the class token only; the official code's projects all patches and drops them, a part of its own."""
    import pandas as pd
    from torch.utils.flop_counter import FlopCounterMode

    def teraflops(call) -> float:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call()
        return counter.get_total_flops() / 1e12

    (reid, _), (unet, vae), batch, side = _encoder(), _diffusion(), FULL.batch, FULL.diffusion_size
    with torch.device("meta"):
        images, pictures = torch.empty(batch, 3, *FULL.image_size), torch.empty(batch, 3, side, side)
        latents, condition = torch.empty(batch, 4, side // 8, side // 8), torch.empty(batch, 1, 768)
        timesteps = torch.zeros(batch, dtype=torch.int64)
        lora = adapt(deepcopy(unet), "lora", 8)
    rows, columns = reid.visual.grid_size
    plain, adapted = (teraflops(lambda: net(latents, timesteps, condition)) for net in (unet, lora))
    parts = {
        "image tower": teraflops(lambda: reid.visual(images)),
        "projecting the patches": 2 * batch * rows * columns * reid.visual.proj.numel() / 1e12,
        "VAE encoder": teraflops(lambda: vae.encode(pictures)),
        "U-Net": plain,
        "adapters": adapted - plain,
    }
    return pd.DataFrame([{"part": part, "TFLOP": cost} for part, cost in parts.items()])
