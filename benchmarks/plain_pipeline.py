"""The method as it is usually written, to measure the package against.

Same losses and gradients as `dcac`, `trainer` and `evaluation`, in the way of the published Re-ID code:
the VAE runs in every step, cross-attention is computed in full, every parameter is an optimizer group
of its own, images are decoded and augmented one by one, ranking sorts the whole gallery, and several
places wait for the device. Only the benchmarks and the tests use it.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcac_lite.dcac import DCAC
from dcac_lite.diffusion import add_noise, predict_noise
from dcac_lite.lean import plain
from dcac_lite.tiers import Tier


class PlainPipeline:
    """One training step after the other on `device`; float32 on a CPU, fp16 with a loss scaler on a GPU.

    dcac: a model of its own, since it is changed and trained here; vae: Stable Diffusion's, left as it is."""

    def __init__(self, dcac: DCAC, vae: nn.Module, lr: float, weight_decay: float, device: torch.device | str = "cpu"):
        from diffusers.models.attention_processor import AttnProcessor

        self.device = torch.device(device)
        self.dcac, self.vae = plain(dcac).to(self.device).train(), vae.to(self.device)
        self.dcac.unet.set_attn_processor(AttnProcessor())
        self.dcac.reid.neck.momentum = 0.1  # the neck is applied twice
        groups = [{"params": [p], "lr": lr, "weight_decay": weight_decay} for p in dcac.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(groups)
        self.half = self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half)

    def draw(self, originals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is random in a step: posterior sampling noise and eps [B, 4, h, w], timesteps int64 [B]."""
        side = originals.shape[-1] // 2 ** (len(self.vae.config.block_out_channels) - 1)
        shape = (len(originals), self.vae.config.latent_channels, side, side)
        sampling = torch.randn(shape).to(self.device)  # drawn on the CPU and copied
        timesteps = torch.randint(0, len(self.dcac.scheduler.betas), (len(originals),), device=self.device).long()
        return sampling, torch.randn(shape, device=self.device), timesteps

    def losses(
        self, x: Tensor, originals: Tensor, labels: Tensor, draws: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of `DCAC.forward` and the L2-normalised feature [B, d]. x: augmented images
        [B, 3, H, W]; originals: un-augmented ones for the VAE [B, 3, s, s] in [-1, 1]."""
        model, (sampling, noise, timesteps) = self.dcac, draws
        f = model.reid.visual(x)
        z = model.reid.neck(f)
        logits = model.reid.classifier(z)
        feature = F.normalize(model.reid.neck(f), dim=1)
        one_hot = torch.zeros(logits.shape).scatter_(1, labels.cpu()[:, None], 1).to(self.device)
        smooth = 0.9 * one_hot + 0.1 / logits.shape[1]
        losses = {"id": (-smooth * F.log_softmax(logits, dim=1)).mean(0).sum()}
        losses["pcl"] = F.cross_entropy(feature @ model.memory.prototypes.t() / model.memory.tau, labels)
        with torch.no_grad():
            posterior = self.vae.encode(originals).latent_dist
            latents = (posterior.mean + posterior.std * sampling) * self.vae.config.scaling_factor
        c = model.condition(logits, z, labels)[:, None]
        predicted = predict_noise(model.unet, add_noise(model.scheduler, latents, noise, timesteps), timesteps, c)
        losses["dif"] = F.mse_loss(predicted, noise, reduction="none").mean([1, 2, 3]).mean()
        bound = F.mse_loss(predicted, noise, reduction="none").mean(
            [1, 2, 3]
        )  # the variational bound, which counts nothing
        weights = model.scheduler.betas[timesteps.cpu()].to(self.device)
        losses["total"] = losses["id"] + losses["pcl"] + model.lambda_ * losses["dif"] + 0.0 * (weights * bound).mean()
        return losses, feature

    def step(
        self, x: Tensor, originals: Tensor, labels: Tensor, draws: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> dict[str, float]:
        """Forward, backward, optimizer and memory; the losses as numbers."""
        x, originals, labels = (t.to(self.device) for t in (x, originals, labels))
        draws = self.draw(originals) if draws is None else draws
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.float16) if self.half else nullcontext():
            losses, feature = self.losses(x, originals, labels, draws)
        self.scaler.scale(losses["total"]).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.update_memory(feature.detach(), labels)
        if self.half:
            torch.cuda.synchronize()
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def update_memory(self, features: Tensor, labels: Tensor) -> None:
        """Eq. 7, sample by sample, each similarity read back to the host."""
        prototypes, gamma = self.dcac.memory.prototypes, self.dcac.memory.gamma
        members: dict[int, list[Tensor]] = defaultdict(list)
        for feature, label in zip(features, labels.tolist()):
            members[label].append(feature.float())
        for label, own in members.items():
            similarities = [(feature @ prototypes[label]).cpu().numpy() for feature in own]
            row = gamma * prototypes[label] + (1 - gamma) * own[int(np.argmin(np.array(similarities)))]
            prototypes[label] = row / row.norm()


class PlainDataset(torch.utils.data.Dataset):
    """Image files, decoded, resized and augmented one at a time by Pillow and torchvision.

    Item: augmented image [3, H, W], un-augmented one for the VAE [3, s, s], label."""

    def __init__(self, files: Sequence[Path], labels: Tensor, tier: Tier):
        from torchvision import transforms as T

        self.files, self.labels = files, labels.tolist()
        resize = {
            size: T.Resize(size, T.InterpolationMode.BICUBIC) for size in (tier.image_size, (tier.diffusion_size,) * 2)
        }
        end = [T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]
        self.augmented = T.Compose(
            [
                resize[tier.image_size],
                T.RandomHorizontalFlip(),
                T.Pad(tier.padding),
                T.RandomCrop(tier.image_size),
                *end,
                T.RandomErasing(tier.erasing, (0.02, 0.4), (0.3, 3.3), 0.5),
            ]
        )
        self.original = T.Compose([resize[(tier.diffusion_size,) * 2], *end])

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
