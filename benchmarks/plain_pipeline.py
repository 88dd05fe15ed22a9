"""What the package is measured against: `plain_method` with what stands around it in the published Re-ID code.

The VAE runs in every step, images are decoded and augmented one by one, and ranking sorts the whole gallery.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcac_lite import Experiment
from dcac_lite.dcac import DCAC
from dcac_lite.tiers import Tier

from .plain_method import PlainTraining


class PlainPipeline(PlainTraining):
    """`PlainTraining` from images instead of latents, one step after the other; fp16 with a loss scaler on a GPU.

    vae: Stable Diffusion's, left as it is, which runs in every step."""

    def __init__(self, dcac: DCAC, vae: nn.Module, experiment: Experiment, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.vae = vae.to(self.device)
        super().__init__(dcac.to(self.device), experiment, half=self.device.type == "cuda")

    def draw(self, originals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is random in a step: posterior sampling noise and eps [B, 4, h, w], timesteps int64 [B]."""
        side = originals.shape[-1] // 2 ** (len(self.vae.config.block_out_channels) - 1)
        shape = (len(originals), self.vae.config.latent_channels, side, side)
        sampling = torch.randn(shape).to(self.device)  # drawn on the CPU and copied
        timesteps = torch.randint(0, 1000, (len(originals),), device=self.device).long()
        return sampling, torch.randn(shape, device=self.device), timesteps

    def step_of_images(
        self, x: Tensor, originals: Tensor, labels: Tensor, draws: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> dict[str, float]:
        """A step from augmented images x [B, 3, H, W] and un-augmented ones for the VAE [B, 3, s, s], in [-1, 1]."""
        x, originals, labels = (t.to(self.device) for t in (x, originals, labels))
        sampling, noise, timesteps = self.draw(originals) if draws is None else draws
        with torch.no_grad(), torch.autocast(self.device.type, torch.float16) if self.half else nullcontext():
            posterior = self.vae.encode(originals).latent_dist
            latents = (posterior.mean + posterior.std * sampling) * self.vae.config.scaling_factor
        losses = self.step(x, labels, latents, noise, timesteps)
        if self.half:
            torch.cuda.synchronize()
        return losses


class ColourGain:
    """Each channel of a picture [3, H, W] in 0..1 times a factor of its own, at most `extent` away from 1."""

    def __init__(self, extent: float):
        self.extent = extent

    def __call__(self, image: Tensor) -> Tensor:
        return (image * (1 + self.extent * (2 * torch.rand(3, 1, 1) - 1))).clamp(0, 1)


class PlainDataset(torch.utils.data.Dataset):
    """Image files, decoded, resized and augmented one at a time by Pillow and torchvision.

    Item: augmented image [3, H, W], un-augmented one for the VAE [3, s, s], label."""

    def __init__(self, files: Sequence[Path], labels: Tensor, tier: Tier):
        from torchvision import transforms as T

        self.files, self.labels = files, labels.tolist()
        resize = {
            size: T.Resize(size, T.InterpolationMode.BICUBIC) for size in (tier.image_size, (tier.diffusion_size,) * 2)
        }
        normal = T.Normalize([0.5] * 3, [0.5] * 3)
        crop = [T.Pad(tier.padding), T.RandomCrop(tier.image_size)] if tier.padding else []
        shift, scale, gain = (tier.jitter * extent for extent in (0.1, 0.15, 0.25))
        # the nearest that torchvision has to `augment.random_jitter`: what comes from beyond the border is black
        move = T.RandomAffine(0, (shift, shift), (1 - scale, 1 + scale), interpolation=T.InterpolationMode.BILINEAR)
        erase = T.RandomErasing(tier.erasing, (0.02, 0.4), (0.3, 3.3), 0.5)
        self.augmented = T.Compose(
            [
                resize[tier.image_size],
                T.RandomHorizontalFlip(),
                *crop,
                *([move] if tier.jitter else []),
                T.ToTensor(),
                *([ColourGain(gain)] if tier.jitter else []),
                normal,
                *([erase] if tier.erasing else []),
            ]
        )
        self.original = T.Compose([resize[(tier.diffusion_size,) * 2], T.ToTensor(), normal])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, int]:
        from PIL import Image

        with Image.open(self.files[row]) as file:
            image = file.convert("RGB")
        return self.augmented(image), self.original(image), self.labels[row]


def plain_rank_metrics(
    query: Tensor,
    gallery: Tensor,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    ranks: tuple[int, ...] = (1, 5, 10),
) -> dict[str, float]:
    """What `evaluation.rank_metrics` computes where no distances are equal: the full distance matrix, a
    sort of every row, and a loop over the queries. Memory: about 17 bytes per query and gallery image."""
    squares = query.square().sum(1, keepdim=True) + gallery.square().sum(1)
    distances = squares.addmm(query, gallery.t(), alpha=-2).cpu().numpy()  # [Q, G]
    order = np.argsort(distances, axis=1)  # int64 [Q, G]
    matches = gallery_pids[order] == query_pids[:, None]
    precisions, curves = [], []
    for row in range(len(query)):
        same_camera = gallery_cameras[order[row]] == query_cameras[row]
        valid = matches[row][~((gallery_pids[order[row]] == query_pids[row]) & same_camera)].astype(np.int32)
        if not valid.any():
            continue
        found = valid.cumsum()
        curves.append(np.minimum(found, 1)[: max(ranks)])
        precisions.append((found / np.arange(1, len(found) + 1) * valid).sum() / valid.sum())
    curve = lambda k: float(np.mean([c[min(k, len(c)) - 1] for c in curves]))  # noqa: E731
    return (
        {"mAP": 100 * float(np.mean(precisions))}
        | {f"R{k}": 100 * curve(k) for k in ranks}
        | {"queries": len(precisions)}
    )
