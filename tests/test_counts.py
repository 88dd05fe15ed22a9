"""Table 6 and the numbers around it, counted in the full-size architectures on torch's meta device:
nothing is allocated."""

import re
from copy import deepcopy
from functools import cache

import pytest
import torch
from test_differences import said
from torch.utils.flop_counter import FlopCounterMode

from dcac_lite import MODES, ReIDModel, adapt, make_condition
from dcac_lite.pretrained.clip import build_visual
from dcac_lite.pretrained.single_file import SD15_UNET, SD15_VAE
from dcac_lite.tiers import FULL

IDENTITIES = 751  # Market1501


def size(module, learning: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not learning)


def make_visual():
    """ViT-B/16 at the paper's image size."""
    with torch.device("meta"):
        return build_visual(
            {
                "image_size": FULL.image_size,
                "patch_size": 16,
                "width": 768,
                "layers": 12,
                "heads": 12,
                "output_dim": 512,
                "quick_gelu": True,
            }
        )


@cache
def diffusion():
    """U-Net and VAE of Stable Diffusion 1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(**SD15_UNET), AutoencoderKL(**SD15_VAE)


@cache
def adapted(mode: str, rank: int = 8):
    """The U-Net in a mode; the one of `diffusion` stays as it is."""
    with torch.device("meta"):
        return adapt(deepcopy(diffusion()[0]), mode, rank)


@cache
def head(identities: int):
    """Baseline and prompts for so many identities."""
    with torch.device("meta"):
        return ReIDModel(make_visual(), identities), make_condition("correlation-aware", identities, 512, 768, 0.6)


# ---------------------------------------------------------------- parameters

#: The DCAC rows: what Table 6 prints, in millions, and the count.
TABLE_6 = {
    "frozen": ("86.51", 86_512_384),
    "lora": ("89.01", 89_005_312),
    "output-blocks": ("599.37", 599_370_948),
    "middle-output-blocks": ("696.41", 696_409_028),
    "full": ("946.03", 946_033_348),
    "scratch": ("946.03", 946_033_348),
}


def test_table_6_counts_the_encoder_without_its_frozen_patches():
    reid, condition = head(IDENTITIES)
    patches, whole = size(reid.visual.conv1), size(reid.visual)
    assert (patches, whole) == (589_824, 86_140_416)
    assert size(reid.visual, learning=True) == whole - patches == 85_550_592  # 85.55 M: inference
    assert (
        size(reid, learning=True) == 85_550_592 + 512 * IDENTITIES + 512 == 85_935_616
    )  # 85.94 M: baseline, neck and classifier
    assert size(condition, learning=True) == 768 * IDENTITIES
    words = said("Parameters at inference")
    assert all(
        number in words for number in (f"{patches:,}", f"{(whole - patches) / 1e6:.2f} M", f"{whole / 1e6:.2f} M")
    )


def test_table_6_counts_every_way_to_adapt():
    reid, condition = head(IDENTITIES)
    counts = {
        mode: size(reid, learning=True) + size(condition, learning=True) + size(adapted(mode), learning=True)
        for mode in MODES
    }
    assert counts == {mode: count for mode, (_, count) in TABLE_6.items()}
    assert all(f"{count / 1e6:.2f}" == printed for printed, count in TABLE_6.values())


def test_one_more_identity_costs_a_row_of_the_classifier_and_a_prompt():
    (reid, condition), (larger, with_it) = head(IDENTITIES), head(IDENTITIES + 1)
    assert size(larger) - size(reid) == 512 and size(with_it) - size(condition) == 768


def test_parts_of_the_unet_that_partial_fine_tuning_takes():
    unet = adapted("output-blocks")
    output, time, out = size(unet.up_blocks), size(unet.time_embedding), size(unet.conv_norm_out) + size(unet.conv_out)
    assert (output, time, out) == (510_795_840, 2_050_560, 12_164)
    assert size(unet.mid_block) == 97_038_080 and size(unet.conv_in) + size(unet.down_blocks) == 249_624_320
    frozen = TABLE_6["frozen"][1]
    assert TABLE_6["output-blocks"][1] == frozen + output + time + out
    words = said("Rows of Table 5 without code")
    assert (
        f"the blocks alone give {(frozen + output) / 1e6:.2f}." in words
        and f"{(frozen + output + time + out) / 1e6:.2f} M" in words
    )
    assert f"{(frozen + output + time) / 1e6:.2f}" == "599.36"  # the output layer is needed as well


# ---------------------------------------------------------------- LoRA

LAYER = re.compile(r"(.+)\.(attn1|attn2|ff)\.(.+)\.lora_([AB])\.default\.weight")


def adapters(unet) -> dict[tuple[str, str], list[int]]:
    """(part of the transformer block, layer) -> parameters of that layer's adapter in each block."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, p in unet.named_parameters():
        if p.requires_grad:
            block, part, layer, _ = LAYER.fullmatch(name).groups()
            sizes = found.setdefault((part, layer), {})
            sizes[block] = sizes.get(block, 0) + p.numel()
    return {place: list(sizes.values()) for place, sizes in found.items()}


@pytest.mark.parametrize(
    "rank, total", [(4, 1_246_464), (8, 2_492_928), (16, 4_985_856), (32, 9_971_712), (64, 19_943_424)]
)
def test_lora_has_144_layers_and_grows_with_its_rank(rank, total):
    unet = adapted("lora", rank)
    assert size(unet, learning=True) == total
    assert {tuple(p.shape)[0] for n, p in unet.named_parameters() if ".lora_A." in n} == {rank}
    assert {tuple(p.shape)[1] for n, p in unet.named_parameters() if ".lora_B." in n} == {rank}
    assert sum(".lora_A." in n for n, _ in unet.named_parameters()) == 144


def test_lora_of_rank_8_layer_by_layer():
    found = adapters(adapted("lora", 8))
    assert all(len(sizes) == 16 for sizes in found.values())
    layers = {place: sum(sizes) for place, sizes in found.items()}
    projections = ("to_q", "to_k", "to_v", "to_out.0")
    assert layers == (
        {("attn1", p): 199_680 for p in projections}
        | {
            ("attn2", p): 198_144 if p in ("to_k", "to_v") else 199_680 for p in projections
        }  # keys and values of the 768 wide condition
        | {("ff", "net.0.proj"): 898_560}
    )
    still, total = layers["attn2", "to_q"] + layers["attn2", "to_k"], sum(layers.values())
    assert f"{still:,} of the {total:,} adapter parameters ({still / total:.0%})".replace("%", " %") in said(
        "One token cannot be attended"
    )
    assert f"{(TABLE_6['frozen'][1] + total) / 1e6:.2f} M trainable" in said("Layers with adapters")
    second = sum(
        8 * (p.shape[0] + p.shape[1]) for n, p in adapted("frozen").named_parameters() if n.endswith("ff.net.2.weight")
    )
    assert f"both give {(TABLE_6['frozen'][1] + total + second) / 1e6:.2f}." in said("Layers with adapters")


# ---------------------------------------------------------------- VAE and cost


def test_the_vae_learns_nothing_and_is_in_no_row():
    _, vae = diffusion()
    assert (size(vae.encoder), size(vae.decoder)) == (34_163_592, 49_490_179)
    assert size(vae) == 34_163_592 + 49_490_179 + size(vae.quant_conv) + size(vae.post_quant_conv)


def teraflops(call) -> float:
    """Of a forward pass, two for each multiply-add."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e12


@pytest.fixture(scope="module")
def cost():
    """TFLOPs of each part for a batch, as the official code runs it."""
    (unet, vae), lora, batch, side = diffusion(), adapted("lora"), FULL.batch, FULL.diffusion_size
    with torch.device("meta"):
        images, pictures = torch.empty(batch, 3, *FULL.image_size), torch.empty(batch, 3, side, side)
        latents, condition = torch.empty(batch, 4, side // 8, side // 8), torch.empty(batch, 1, 768)
        t = torch.zeros(batch, dtype=torch.int64)
    visual = make_visual()
    patches = visual.grid_size[0] * visual.grid_size[1]
    return {
        "patches": 2
        * batch
        * patches
        * visual.proj.numel()
        / 1e12,  # the official ViT projects them, too, and drops them
        "ViT": teraflops(lambda: visual(images)),
        "VAE": teraflops(lambda: vae.encode(pictures)),
        "U-Net": teraflops(lambda: unet(latents, t, condition)),
        "LoRA": teraflops(lambda: lora(latents, t, condition)),
    }


def test_the_forward_pass_costs_what_table_6_says(cost):
    vit = cost["ViT"] + cost["patches"]
    assert (vit, cost["VAE"], cost["U-Net"], cost["LoRA"]) == pytest.approx((1.458, 4.338, 2.734, 2.749), rel=3e-4)
    assert vit + cost["VAE"] + cost["LoRA"] == pytest.approx(8.545, rel=1e-4)
    assert f"{vit:.2f}" == "1.46"
    # Table 6 prints 8.50 and 8.52; the difference between them is the adapters'
    assert vit + cost["VAE"] + cost["U-Net"] == pytest.approx(8.50, rel=0.005)
    assert vit + cost["VAE"] + cost["LoRA"] == pytest.approx(8.52, rel=0.005)
    assert cost["LoRA"] - cost["U-Net"] == pytest.approx(0.02, abs=0.005)


def test_more_than_half_of_what_diffusion_adds_is_the_frozen_vae(cost):
    assert 0.5 < cost["VAE"] / (cost["VAE"] + cost["LoRA"]) < 0.65
