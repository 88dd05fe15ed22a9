"""What a diffusion loss says to an encoder, measured: how loud, in which direction, how surely, and about what.

All of them look at a model in evaluation mode, so that a picture's z does not depend on its batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import normalise, to_tensor
from ..data.domains import TrainingSet
from ..data.load import load_domain
from ..data.moments import cached_moments
from ..dcac import DCAC, as_tokens
from ..diffusion import add_noise, predict_noise, sample_latents
from ..encoder import id_loss
from ..experiment import Experiment
from ..pretrained.stable_diffusion import StableDiffusion
from ..runs import Run
from ..training import build
from .softness import sum_of_squares

Noisy = tuple[Tensor, Tensor, Tensor]  # latents and noise [B, C, h, w], timesteps int64 [B]

# ---------------------------------------------------------------- what is looked at


def with_words(result: Run, arm: str = "captions-predicted") -> DCAC:
    """The encoder of a finished run, of a baseline for instance, before a frozen U-Net that is told in readable words
    what it sees: the model of `arm` with the run's Re-ID side, in evaluation mode."""
    trained, told = result.model(), {"conditioning": arm, "adaptation": "frozen", "lambda_": None, "rank": None}
    experiment = replace(Experiment(**vars(result.experiment)), tau_c=None, **told).resolved()
    dcac, _ = build(experiment, trained.reid.classifier.out_features)
    dcac.reid.load_state_dict(trained.reid.state_dict())
    dcac.memory.load_state_dict(trained.memory.state_dict())
    return dcac.eval()


def pictures(data: TrainingSet, rows: Tensor) -> Tensor:
    """Training pictures at `rows` int64 [B] as the encoder takes them, un-augmented: [B, 3, H, W]."""
    return normalise(to_tensor(data.images(rows)))


def draws_of(sd: StableDiffusion, data: TrainingSet, rows: Tensor, count: int, seed: int = 0) -> list[Noisy]:
    """`count` independent draws of latents, noise and timesteps for the pictures at `rows`."""
    moments = torch.from_numpy(cached_moments(sd, data)[rows.numpy()]).float()
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        sampling, noise = torch.randn(2, len(rows), *sd.latent_shape, generator=generator)
        latents = sample_latents(moments, sd.vae.config["scaling_factor"], sampling)
        found.append((latents, noise, torch.randint(1000, (len(rows),), generator=generator)))
    return found


def in_another_camera(experiment: Experiment, rows: Tensor) -> Tensor:
    """For each training picture another one of the same person, from another camera where there is one: int64 [B]."""
    splits = [load_domain(name, experiment.tier).train for name in experiment.sources]
    people = np.concatenate([split.pids + 10**7 * k for k, split in enumerate(splits)])
    cameras, found = np.concatenate([split.cameras for split in splits]), []
    for row in rows.tolist():
        same = np.flatnonzero((people == people[row]) & (np.arange(len(people)) != row))
        elsewhere = same[cameras[same] != cameras[row]]
        found.append(next(iter([*elsewhere, *same]), row))
    return torch.tensor(found)


def somebody_else(labels: Tensor) -> Tensor:
    """For each picture of a batch the next one of another person, round the batch: rows int64 [B].

    Raises ValueError where the batch shows one person only."""
    if len(labels.unique()) < 2:
        raise ValueError(f"all {len(labels)} pictures show one person; expected at least two people.")
    later = [labels.roll(-k) != labels for k in range(1, len(labels))]
    first = torch.stack(later).int().argmax(0) + 1
    return (torch.arange(len(labels)) + first) % len(labels)


# ---------------------------------------------------------------- the gradient


def gradients_at_z(dcac: DCAC, x: Tensor, labels: Tensor, draws: Sequence[Noisy]) -> tuple[Tensor, Tensor]:
    """Gradients of one batch's losses at z after the neck: that of L_ReID [B, d], and that of L_dif for each of m
    draws of timesteps and noise, [m, B, d]. x: images [B, 3, H, W], normalised."""
    with torch.no_grad():
        z = dcac.reid(x)[0]
    z.requires_grad_()
    logits = dcac.reid.classifier(z)
    reid = id_loss(logits, labels) + dcac.memory.loss(F.normalize(z), labels)
    (of_reid,) = torch.autograd.grad(reid, z)
    each = []
    for draw in draws:
        loss = dcac.teaching_loss(z, dcac.reid.classifier(z), labels, *draw)
        each.append(torch.autograd.grad(loss, z)[0])
    return of_reid, torch.stack(each)


def mean_cosine(a: Tensor, b: Tensor) -> float:
    """Mean over pictures of the cosine of two gradients [B, d]. Pictures where one of them is zero do not count."""
    there = (a.norm(dim=1) > 0) & (b.norm(dim=1) > 0)
    return float(F.cosine_similarity(a[there], b[there], eps=0).mean())


def agreement(each: Tensor, sizes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)) -> dict[int, float]:
    """How far gradients from independent draws agree: `mean_cosine` of the mean of m draws with that of m others, by m.
    each: [draws, B, d]; sizes beyond half of the draws are left out. Pure noise gives 0 at every m, and no noise 1."""
    found = {}
    for m in (m for m in sizes if 2 * m <= len(each)):
        groups = each[: len(each) // (2 * m) * 2 * m].unflatten(0, (-1, 2, m)).mean(2)  # [pairs, 2, B, d]
        found[m] = float(np.mean([mean_cosine(one, other) for one, other in groups]))
    return found


def vaguer(dcac: DCAC, x: Tensor) -> Tensor:
    """The gradient of every picture's sum_j p_j^2 at z, [B, d]: a diffusion gradient along it says "be vaguer"."""
    with torch.no_grad():
        z = dcac.reid(x)[0]
    assert dcac.condition is not None
    return sum_of_squares(z, dcac.reid.classifier.weight, dcac.condition.tau_c)


def by_chance(dcac: DCAC, x: Tensor, count: int = 16, seed: int = 0) -> float:
    """The mean |cosine| with `vaguer` of `count` gradients at z that random ones at the condition send back: what
    somebody who knows nothing reaches, whatever the sign."""
    assert dcac.condition is not None
    with torch.no_grad():
        z = dcac.reid(x)[0]
    z.requires_grad_()
    c = dcac.condition(dcac.reid.classifier(z), z, torch.zeros(len(z), dtype=torch.int64))
    generator, along, found = torch.Generator().manual_seed(seed), vaguer(dcac, x), []
    for _ in range(count):
        noise = torch.randn(c.shape, generator=generator)
        (sent,) = torch.autograd.grad((c * noise).sum(), z, retain_graph=True)
        found.append(F.cosine_similarity(sent, along, dim=1).abs().mean())
    return float(torch.stack(found).mean())


# ---------------------------------------------------------------- the condition


@torch.no_grad()
def condition_of(dcac: DCAC, x: Tensor, labels: Tensor) -> Tensor:
    """The condition that a model makes of pictures, [B, L, D]."""
    assert dcac.condition is not None
    z, logits = dcac.reid(x)
    return as_tokens(dcac.condition(logits, z, labels))


@torch.no_grad()
def worth(dcac: DCAC, conditions: Mapping[str, Tensor], draws: Sequence[Noisy]):
    """What a condition is worth to the U-Net, a DataFrame with a row for each condition, draw and picture: `condition`,
    `draw`, `picture`, `timestep`, `error` (mean squared, of the noise). conditions: context [B, L, D] by name; all meet
    the same latents, noise and timesteps, so that they can be compared picture by picture."""
    import pandas as pd

    assert dcac.unet is not None
    rows = []
    for number, (latents, noise, timesteps) in enumerate(draws):
        noisy = add_noise(dcac.scheduler, latents, noise, timesteps)
        for name, context in conditions.items():
            guess = predict_noise(dcac.unet, noisy, timesteps, context)
            error = (guess - noise).square().flatten(1).mean(1).cpu()
            facts = {"condition": name, "draw": number, "picture": range(len(error))}
            rows.append(pd.DataFrame(facts | {"timestep": timesteps.cpu(), "error": error}))
    return pd.concat(rows, ignore_index=True)


def help_of_prompts(dcac: DCAC, x: Tensor, labels: Tensor, draws: Sequence[Noisy]) -> Tensor:
    """How much a step of the condition towards each identity's prompt would help the U-Net, to first order and in the
    mean over the draws: -(E_j - c) . dL_dif/dc, [B, N]. For schemes that mix prompts (Eq. 12), of any number of
    tokens."""
    prompts = getattr(dcac.condition, "prompts", None)
    if prompts is None:
        raise ValueError(f"{type(dcac.condition).__name__} has no prompts; expected a condition that mixes them.")
    prompts = as_tokens(prompts.detach())
    c = condition_of(dcac, x, labels).requires_grad_()
    g = torch.zeros_like(c)
    for draw in draws:
        g += torch.autograd.grad(dcac.denoising(c, *draw), c)[0] * len(c) / len(draws)  # of a picture's own loss
    return -(g.flatten(1) @ prompts.flatten(1).t() - (g * c.detach()).flatten(1).sum(1, keepdim=True))


@torch.no_grad()
def swap_errors(dcac: DCAC, draws: Sequence[Noisy]) -> Tensor:
    """The U-Net's error (mean squared, of the noise) where it is told each identity's prompt in full, in the mean over
    the draws: [B, N]. Where `help_of_prompts` asks the gradient, this tries."""
    assert dcac.unet is not None and dcac.condition is not None
    prompts = as_tokens(dcac.condition.prompts)
    errors = torch.zeros(len(draws[0][2]), len(prompts))
    for latents, noise, timesteps in draws:
        noisy = add_noise(dcac.scheduler, latents, noise, timesteps)
        for row, (one, true, t) in enumerate(zip(noisy, noise, timesteps)):
            guess = predict_noise(dcac.unet, one.expand(len(prompts), *one.shape), t.expand(len(prompts)), prompts)
            errors[row] += (guess - true).square().flatten(1).mean(1).cpu() / len(draws)
    return errors


def help_and_looks(helps: Tensor, labels: Tensor, looks: np.ndarray) -> dict[str, float]:
    """What `help_of_prompts`, or minus `swap_errors`, knows: "rank correlation", the mean over pictures of Spearman's
    correlation of the others' help with their true likeness, looks [N, N]; "better than own", the share of the other
    identities whose prompts would help more than the own one (0.5 where nothing is known)."""
    from scipy.stats import spearmanr

    helped, correlations, shares = helps.cpu().numpy(), [], []
    for picture, own in enumerate(labels.tolist()):
        others = np.arange(helped.shape[1]) != own
        correlations.append(spearmanr(helped[picture, others], looks[own, others]).statistic)
        shares.append((helped[picture, others] > helped[picture, own]).mean())
    return {"rank correlation": float(np.nanmean(correlations)), "better than own": float(np.mean(shares))}


def by_softness(
    dcac: DCAC, x: Tensor, labels: Tensor, draws: Sequence[Noisy], looks: np.ndarray, temperatures: Sequence[float]
):
    """What the gradient knows at other temperatures of the condition, a DataFrame: `tau_c`, `p` (the mean probability
    of the right identity), those of `help_and_looks`, and `with sum p²`, `mean_cosine` of the gradient with
    `vaguer`."""
    import pandas as pd

    assert dcac.condition is not None
    usual, rows = dcac.condition.tau_c, []
    try:
        for tau_c in temperatures:
            dcac.condition.tau_c = tau_c
            with torch.no_grad():
                p = F.softmax(dcac.reid(x)[1] / tau_c, dim=1).gather(1, labels[:, None])
            facts = {"tau_c": tau_c, "p": float(p.mean())}
            facts |= help_and_looks(help_of_prompts(dcac, x, labels, draws), labels, looks)
            mean = gradients_at_z(dcac, x, labels, draws)[1].mean(0)
            rows.append(facts | {"with sum p²": mean_cosine(mean, vaguer(dcac, x))})
    finally:
        dcac.condition.tau_c = usual
    return pd.DataFrame(rows)
