"""The paper's own prompts, given time to become readable before anybody is taught with them.

Textual inversion needs a learning rate of its own, and GenHancer and DCR open the gradient to an encoder only after the
denoiser has learned to use the condition."""

import torch
from torch import Tensor, nn

from ..conditioning import CorrelationAware
from ..dcac import DCAC, as_tokens
from ..device import full_precision
from .arm import Arm, of_scheme


class FastPrompts(CorrelationAware):
    """Eq. 12 with prompts that learn `faster` times as fast: E = E_0 + faster * V, of which only V learns. Adam moves
    every number by about the learning rate, whatever its gradient."""

    faster = 100.0
    start: Tensor

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__(identities, width, dim, tau_c)
        self.register_buffer("start", self.prompts.detach().clone())
        nn.init.zeros_(self.prompts)  # now V

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.probabilities(logits) @ (self.start + self.faster * self.prompts)


class LearnedFirst(DCAC):
    """Nothing reaches the encoder until its condition is worth having: until a running mean of (loss under zeros - loss
    under the own condition) / loss, which starts at -1 % and follows by a twentieth a step, is above zero. From then
    on it is DCAC. The encoder learns by the Re-ID losses all the while, as in every arm of the same seed. Several
    processes each judge by their own share of the batch."""

    worth: Tensor
    opened: Tensor

    def __init__(self, *parts, **named):
        super().__init__(*parts, **named)
        self.register_buffer("worth", torch.tensor(-0.01))
        self.register_buffer("opened", torch.tensor(0.0))

    def teaching_loss(self, z, logits, labels, latents, noise, timesteps) -> Tensor:
        with full_precision(z):
            # a gradient of zero where the gate is shut: no branch, which would wait for the device
            c = as_tokens(self.condition(_gated(logits, self.opened), _gated(z, self.opened), labels))
        loss = self.denoising(c, latents, noise, timesteps)
        if self.training:
            with torch.no_grad():
                zeros = self.denoising(torch.zeros_like(c), latents, noise, timesteps)
                self.worth.lerp_((zeros - loss) / loss, 0.05)
                self.opened.copy_(torch.maximum(self.opened, (self.worth > 0).float()))
        return loss


def _gated(x: Tensor, gate: Tensor) -> Tensor:
    """x, whose gradient is multiplied by `gate`, 0 or 1."""
    gate = gate.clone()  # it may change before the backward pass
    return x.detach() + gate * (x - x.detach())


ARMS = {"fast-prompts": Arm(of_scheme(FastPrompts)), "learned-first": Arm(of_scheme(FastPrompts), LearnedFirst)}
