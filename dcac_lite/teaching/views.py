"""The condition of one picture denoises another picture of the same person: identity instead of picture (after SODA,
where one view conditions the denoising of another)."""

import torch
from torch import Tensor

from ..dcac import DCAC
from .arm import Arm
from .captions import readable
from .words import predicted_captions


class OtherView(DCAC):
    """Latents and labels pair up anew: every picture's condition is asked about the next picture of its person in the
    batch. A batch does not say which camera took a picture; it draws a person's pictures at random, so that the other
    one is another camera's as often as a person's pictures are (on MA of the lite tier, seven times in ten)."""

    def teaching_loss(self, z, logits, labels, latents, noise, timesteps) -> Tensor:
        return super().teaching_loss(z, logits, labels, latents[next_of_person(labels)], noise, timesteps)


def next_of_person(labels: Tensor) -> Tensor:
    """For every row of labels int64 [B] the next row of the same label, the first one after the last: int64 [B]."""
    order = labels.argsort(stable=True)  # rows, person by person
    sorted_labels = labels[order]
    starts = torch.searchsorted(sorted_labels, sorted_labels)  # where each person begins
    ends = torch.searchsorted(sorted_labels, sorted_labels, right=True)
    following = torch.arange(1, len(labels) + 1, device=labels.device)
    following = torch.where(following == ends, starts, following)
    found = torch.empty_like(order)
    found[order] = order[following]
    return found


ARMS = {"other-view": Arm(dcac=OtherView), "captions-other-view": Arm(readable(predicted_captions), OtherView)}
