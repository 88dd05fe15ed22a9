"""CLIP's weights: where they are looked for, how positions are resized, that all is loaded."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_weights import SIZE, TINY
from torch import nn

from dcac_lite.pretrained.clip import build_visual, load_clip, load_clip_visual, resize_positions, visual_architecture
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.tiers import FULL, LITE


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY).eval()


def resized_by_hand(positions: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with half-pixel centres, edges repeated, no smoothing: one position at a time."""
    side = round((len(positions) - 1) ** 0.5)
    grid, rows = positions[1:].reshape(side, side, -1), [positions[0]]
    for y in range(height):
        for x in range(width):
            v, u = (max((k + 0.5) * side / n - 0.5, 0) for k, n in ((y, height), (x, width)))
            top, left = int(v), int(u)
            below, right = min(top + 1, side - 1), min(left + 1, side - 1)
            a, b = v - top, u - left
            rows.append(
                (1 - a) * ((1 - b) * grid[top, left] + b * grid[top, right])
                + a * ((1 - b) * grid[below, left] + b * grid[below, right])
            )
    return np.stack(rows)


def test_lite_weights_load_bit_by_bit():
    stored, loaded = (
        load_file(f"{LITE.clip}/open_clip_model.safetensors"),
        load_clip(LITE.clip, LITE.image_size).state_dict(),
    )
    assert stored.keys() == loaded.keys() and all(torch.equal(stored[n], loaded[n]) for n in stored)
    for part, model in (("unet", (parts := load_stable_diffusion(LITE.stable_diffusion, 32)).unet), ("vae", parts.vae)):
        stored = load_file(f"{LITE.stable_diffusion}/{part}/diffusion_pytorch_model.safetensors")
        assert stored.keys() == model.state_dict().keys() and all(
            torch.equal(t, stored[n]) for n, t in model.state_dict().items()
        )


def test_positions_are_resized_as_the_official_code_does():
    positions = torch.randn(1 + 14 * 14, 5)
    resized = resize_positions(positions, (16, 8))
    assert np.allclose(resized.numpy(), resized_by_hand(positions.double().numpy(), 16, 8), atol=1e-5)
    assert torch.equal(resize_positions(positions, (14, 14)), positions)


def torchscript(state: dict, path: Path) -> None:
    """An archive as OpenAI publishes: TorchScript, half precision, three numbers beside the tensors."""
    root = nn.Module()
    numbers = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(8), "vocab_size": torch.tensor(20)}
    for name, tensor in (state | numbers).items():
        module, (*folders, last) = root, name.split(".")
        for folder in folders:
            if folder not in dict(module.named_children()):
                module.add_module(folder, nn.Module())
            module = getattr(module, folder)
        module.register_buffer(last, tensor.half() if tensor.is_floating_point() and tensor.dim() else tensor)
    torch.jit.script(root).save(str(path))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["openai's own file", "hub folder", "hub cache"])
def test_a_named_clip_is_found_and_computes_the_same(weights, clip, kind):
    if kind == "openai's own file":
        torchscript(clip.state_dict(), weights / "Tiny.pt")
    else:
        folder = weights / "tiny.openai"
        if kind == "hub cache":
            folder = weights.parent / "cache" / "models--owner--tiny.openai" / "snapshots" / ("0" * 40)
            (refs := folder.parents[1] / "refs").mkdir(parents=True)
            (refs / "main").write_text("0" * 40)
        folder.mkdir(parents=True)
        save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    loaded = load_clip("Tiny:openai", (32, 32)).eval()
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(
        loaded.encode_image(image), clip.encode_image(image), atol=0.02 if kind == "openai's own file" else 1e-6
    )
    wide = load_clip_visual("Tiny:openai", SIZE)
    expected = resized_by_hand(clip.visual.positional_embedding.double().numpy(), 8, 4)
    assert np.allclose(wide.positional_embedding.numpy(), expected, atol=1e-3) and wide(
        torch.randn(1, 3, *SIZE)
    ).shape == (1, 16)


def test_a_clip_that_is_nowhere_says_how_to_fetch_it(weights):
    with pytest.raises(
        FileNotFoundError,
        match="hf download timm/vit_base_patch16_clip_224.openai open_clip_model.safetensors --revision 977e3dd",
    ) as error:
        load_clip(FULL.clip, FULL.image_size)
    assert "DCAC_WEIGHTS" in str(error.value) and "\n" not in str(error.value)
    for name, said in (
        ("ViT-B-16:openai", "use ViT-B-16-quickgelu:openai"),
        ("ViT-B-16-quickgelu:opnai", "tags of ViT-B-16-quickgelu: openai"),
        ("nowhere/clip", "neither a folder nor"),
    ):
        with pytest.raises(ValueError, match=said):
            load_clip(name, SIZE)


def test_the_image_tower_can_be_built_from_its_sizes():
    visual = load_clip_visual(LITE.clip, LITE.image_size).eval()
    twin = build_visual(visual_architecture(visual)).eval()
    twin.load_state_dict(visual.state_dict())
    x = torch.randn(2, 3, *LITE.image_size)
    assert torch.equal(twin(x), visual(x))
    with torch.device("meta"):  # ViT-B/16 of Table 6
        sizes = {
            "image_size": [256, 128],
            "patch_size": 16,
            "width": 768,
            "layers": 12,
            "heads": 12,
            "output_dim": 512,
            "quick_gelu": True,
        }
        assert sum(p.numel() for p in build_visual(sizes).parameters()) == 86_140_416
