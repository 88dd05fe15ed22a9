"""Placebos: is what DCAC does to an encoder more than restlessness?

In each of them the U-Net, the prompts and the batches are DCAC's; only what the encoder is told is not."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning import CorrelationAware
from ..dcac import DCAC, as_tokens
from ..device import full_precision
from .arm import Arm, of_scheme


class Redirected(DCAC):
    """DCAC whose gradient at every picture's z keeps its length and gets another direction. Prompts, U-Net and
    classifier learn from L_dif as in DCAC."""

    @abstractmethod
    def direction(self, z: Tensor, noise: Tensor) -> Tensor:
        """Where the gradient at z [B, d] points instead, [B, d] of any length. A step goes against it."""

    def teaching_loss(self, z, logits, labels, latents, noise, timesteps) -> Tensor:
        cut = z.detach().requires_grad_()
        with full_precision(z):
            c = as_tokens(self.condition(self.reid.classifier(cut), cut, labels))
        loss = self.denoising(c, latents, noise, timesteps)
        (gradient,) = torch.autograd.grad(loss, cut, retain_graph=True)
        push = F.normalize(self.direction(z, noise)).detach() * gradient.norm(dim=1, keepdim=True)
        pushed = (push * z).sum()  # whose gradient at z is `push`
        return loss + (pushed - pushed.detach())  # the value stays L_dif


class RandomGradient(Redirected):
    """A random direction. It is a fixed random projection of the step's noise, which knows nothing of pictures or
    people: so it is new in every step, a resumed run finds it again, and no other draw is disturbed."""

    def direction(self, z: Tensor, noise: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        projection = torch.randn(noise[0].numel(), z.shape[1], generator=generator)
        return noise.flatten(1).float() @ projection.to(z.device)


class Shuffled(CorrelationAware):
    """The condition of another picture: that of half a batch further on, which shows somebody else, since batches hold
    the pictures of one person side by side."""

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return super().forward(logits, z, labels).roll(len(labels) // 2, 0)


class ScrambledNames(CorrelationAware):
    """c = sum_j p_j e_perm(j), with another fixed permutation for every true identity: p keeps its values, so its
    entropy and the gradient's size, but which prompt a person lends to another means nothing."""

    orders: Tensor

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__(identities, width, dim, tau_c)
        generator = torch.Generator().manual_seed(0)
        orders = torch.stack([torch.randperm(identities, generator=generator) for _ in range(identities)])
        self.register_buffer("orders", orders, persistent=False)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.probabilities(logits).gather(1, self.orders[labels]) @ self.prompts


class RandomProbabilities(ScrambledNames):
    """The values of the picture's p in a fixed random order for its identity, without a gradient. The encoder hears
    nothing and must end as the baseline's, which tests the pairing."""

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        values = self.probabilities(logits.detach()).sort(1).values
        return values.gather(1, self.orders[labels]) @ self.prompts


ARMS = {
    "random-gradient": Arm(dcac=RandomGradient),
    "condition-shuffled": Arm(of_scheme(Shuffled)),
    "scrambled-names": Arm(of_scheme(ScrambledNames)),
    "random-probabilities": Arm(of_scheme(RandomProbabilities)),
}
