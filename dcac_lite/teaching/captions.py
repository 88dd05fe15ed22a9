"""Prompts that the U-Net can read: for every identity the tokens of a caption, from the text encoder that the
U-Net was trained with.

Eq. 12 stays, c = sum_j p_j E_j, with E_j [L, D] instead of e_j [D]. The prompts do not learn: a vocabulary is of use
as long as both sides keep to it. It costs L keys and values a layer instead of one (L = 48 in lite, 77 with Stable
Diffusion's text encoder), queries too, and N L D numbers of memory."""

import os
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment import normalise, to_tensor
from ..data.domains import training_set
from ..data.load import load_domain
from ..encoder import ReIDModel
from ..experiment import Resolved
from ..pretrained.captions import load_text_encoder
from .arm import Arm, Maker
from .words import given_captions, given_key, predicted_captions, true_captions


class Readable(nn.Module):
    """c = sum_j p_j E_j [B, L, D] with p = softmax(z W^T / tau_c). prompts: E [N, L, D]; for L = 1 this is Eq. 12."""

    prompts: Tensor

    def __init__(self, prompts: Tensor, tau_c: float):
        super().__init__()
        self.tau_c, self.tokens = tau_c, prompts.shape[1]
        self.register_buffer("prompts", prompts)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        p = F.softmax(logits / self.tau_c, dim=1)
        return (p @ self.prompts.flatten(1)).unflatten(1, self.prompts.shape[1:])


class Anchored(Readable):
    """c = E_null + 0.3 sum_j p_j (E_j - E_null): near the empty caption, which the U-Net knows as "no words"."""

    share = 0.3
    null: Tensor

    def __init__(self, prompts: Tensor, tau_c: float, null: Tensor):
        super().__init__(prompts, tau_c)
        self.register_buffer("null", null)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.null + self.share * (super().forward(logits, z, labels) - self.null)


class ReadableInstance(nn.Module):
    """The feature itself as the condition, through a projection P [d + 1, L D] that starts readable and learns: the
    least-squares map from the starting features to the captions' tokens."""

    def __init__(self, projection: Tensor, tokens: int):
        super().__init__()
        self.tokens, self.projection = tokens, nn.Parameter(projection)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return (_with_one(F.normalize(z)) @ self.projection).unflatten(1, (self.tokens, -1))


def _with_one(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones_like(features[:, :1])], dim=1)


# ---------------------------------------------------------------- how prompts are made


@torch.random.fork_rng(devices=[])  # loading a text encoder draws numbers that it then replaces
def encoded(captions: list[str], experiment: Resolved) -> Tensor:
    """Tokens of captions, float32 [N, L, D], by the text encoder of the tier's Stable Diffusion."""
    return load_text_encoder(os.fspath(experiment.of_tier.stable_diffusion))(captions)


def over_identities(prompts: Tensor) -> Tensor:
    """Every identity gets the prompt of another one, by one fixed cycle through all."""
    order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(0))
    shuffled = torch.empty_like(prompts)
    shuffled[order] = prompts[order.roll(1)]
    return shuffled


def pooled(prompts: Tensor) -> Tensor:
    """One token for each prompt, the mean of its L: [N, 1, D]."""
    return prompts.mean(1, keepdim=True)


def readable(words: Callable[[Resolved], list[str]], change: Callable[[Tensor], Tensor] | None = None) -> Maker:
    """The maker of `Readable` prompts from captions, changed or not."""

    def make(experiment: Resolved, reid: ReIDModel, dim: int, kept: Mapping[str, Tensor] | None) -> Readable:
        if kept is not None:
            return Readable(kept["condition.prompts"], experiment.tau_c)
        prompts = encoded(words(experiment), experiment)
        return Readable(prompts if change is None else change(prompts), experiment.tau_c)

    return make


def anchored(experiment: Resolved, reid: ReIDModel, dim: int, kept: Mapping[str, Tensor] | None) -> Anchored:
    """`Anchored` prompts from predicted captions."""
    if kept is not None:
        return Anchored(kept["condition.prompts"], experiment.tau_c, kept["condition.null"])
    *prompts, null = encoded([*predicted_captions(experiment), ""], experiment)
    return Anchored(torch.stack(prompts), experiment.tau_c, null)


def instance(experiment: Resolved, reid: ReIDModel, dim: int, kept: Mapping[str, Tensor] | None) -> ReadableInstance:
    """`ReadableInstance`, fitted to predicted captions on the encoder as it starts."""
    if kept is not None:
        projection = kept["condition.projection"]
        return ReadableInstance(projection, projection.shape[1] // dim)
    prompts = encoded(predicted_captions(experiment), experiment)
    data = training_set([load_domain(name, experiment.tier) for name in experiment.sources])
    with torch.no_grad():
        parts = torch.arange(len(data)).split(256)
        f = torch.cat([reid.visual(normalise(to_tensor(data.images(rows)))).float() for rows in parts])
        z = _with_one(F.normalize((f - f.mean(0)) / (f.var(0, unbiased=False) + reid.neck.eps).sqrt()))
        # ridge: few pictures must not make a wild map; in units of the mean eigenvalue
        gram, target = z.t() @ z, z.t() @ prompts[data.labels].flatten(1)
        projection = torch.linalg.solve(gram + 0.01 * gram.diagonal().mean() * torch.eye(len(gram)), target)
    return ReadableInstance(projection, prompts.shape[1])


ARMS = {
    "captions-true": Arm(readable(true_captions)),
    "captions-predicted": Arm(readable(predicted_captions)),
    "captions-given": Arm(readable(given_captions), material=given_key),
    "captions-shuffled": Arm(readable(predicted_captions, over_identities)),
    "captions-pooled": Arm(readable(predicted_captions, pooled)),
    "captions-anchored": Arm(anchored),
    "instance-readable": Arm(instance),
}
