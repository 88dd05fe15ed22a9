"""The baseline Re-ID model (Sec. 4.1): CLIP image encoder, BN neck, classifier, ID loss (Eq. 5)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .augment import normalise, to_tensor
from .device import full_precision
from .global_batch import GlobalBatchNorm1d
from .lean import lean_visual

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer


class ReIDModel(nn.Module):
    """E_psi, BN neck and classifier. `forward` gives what the losses need, `features` what the test
    needs; only the latter is used after training.

    visual: a ViT whose call gives f [B, d] and whose patch projection is `conv1` (frozen: Sec. 5.2).
    """

    def __init__(self, visual: "VisionTransformer", identities: int):
        super().__init__()
        self.visual = lean_visual(visual)
        self.visual.conv1.requires_grad_(False)
        width = visual.output_dim
        # The official code applies the neck twice a step, so its running statistics move twice with
        # momentum 0.1. Once with 1 - 0.9^2 is the same.
        self.neck = GlobalBatchNorm1d(width, momentum=0.19)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(width, identities, bias=False)  # rows are w_j
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [B, 3, H, W] -> z [B, d] after the neck (not L2-normalised), and the
        logits z w_j^T [B, N] of Eq. 5, both float32 under autocast too."""
        f = self.visual(x)
        with full_precision(f):
            z = self.neck(f.float())
            return z, self.classifier(z)

    @torch.no_grad()
    def features(self, images, batch: int = 256, progress: Callable = iter) -> Tensor:
        """Test features of uint8 images [M, 3, H, W]: after the neck with running statistics and
        L2-normalised, float32 [M, d] on the CPU. Leaves the model's mode as it was."""
        was_training = self.training
        self.eval()
        device = next(self.parameters()).device
        try:
            done = []
            for start in progress(range(0, len(images), batch)):
                x = normalise(to_tensor(images[start : start + batch]).to(device))
                done.append(F.normalize(self.neck(self.visual(x).float())).cpu())
            return torch.cat(done)
        finally:
            self.train(was_training)


def id_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """L_id (Eq. 5): cross-entropy of logits [B, N] against labels int64 [B], smoothed by 0.1."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)
