"""Planted bugs of the diffusion side: latents, the condition, and the adapters."""

import random

import torch
import torch.nn.functional as F

from . import broken
from .exercise import Exercise, Mistake, follows, need

# ---------------------------------------------------------------- the diffusion side


def latents(mean, scaling):
    """Latents as the U-Net was trained on. mean: the VAE's posterior mean."""
    return scaling * mean


def _latent_probes() -> list[tuple]:
    return [(torch.randn(3, 4, generator=torch.Generator().manual_seed(k)), s) for k, s in enumerate((0.18, 0.5, 2.0))]


SCALING = Exercise(
    name="bug.10",
    kind="diagnose",
    given=broken.latents,
    solution=latents,
    right="A network that predicts nothing has a loss of 1; one that does worse believes in another world. Its "
    "latents had variance 1, and yours were 5.5 times as large: the VAE's scaling factor was missing.",
    hints=(
        "A loss above 1 is worse than predicting nothing.",
        "How large are the latents, and how large is the noise?",
        "The VAE's scaling factor brings latents to a variance of about 1.",
    ),
    mistakes=(
        Mistake(lambda mean, scaling: mean / scaling, "Divided: that is the way back, before the VAE decodes."),
        Mistake(
            lambda mean, scaling: mean / mean.std(),
            "That gives variance 1 here, by the batch's own spread. Then a latent depends on its batch, and a dull "
            "picture is blown up; take the constant.",
        ),
    ),
    test=lambda answer: follows(
        answer, lambda mean, scaling: mean * scaling, _latent_probes(), "it is not the mean times the scaling factor."
    ),
    probes=_latent_probes,
)


def noise_loss(unet, add_noise, x0, eps, draw_t):
    """Eq. 11 for a batch. draw_t(): timesteps, [B]; add_noise(x0, eps, t): Eq. 10; unet(x_t, t): predicted noise."""
    t = draw_t()
    return F.mse_loss(unet(add_noise(x0, eps, t), t), eps)


class _Timesteps:
    """Draws timesteps below 10 for a batch of 6, others each time."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)

    def __call__(self) -> torch.Tensor:
        return torch.tensor(self.dice.choices(range(10), k=6))


def _add_noise(x0, eps, t):
    abar = (1 - t / 10)[:, None]
    return abar**0.5 * x0 + (1 - abar) ** 0.5 * eps


def _unet(x_t, t):
    return x_t * (1 + t)[:, None]


def _noise_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 6, 4, generator=dice) for _ in range(3)]
    return [(_unet, _add_noise, *pair, _Timesteps(seed)) for seed, pair in enumerate(pairs)]


def _with_told(rule):
    def answer(unet, add_noise, x0, eps, draw_t):
        t = draw_t()
        return F.mse_loss(unet(add_noise(x0, eps, t), rule(t)), eps)

    return answer


TIMESTEP = Exercise(
    name="bug.15",
    kind="diagnose",
    given=broken.noise_loss,
    solution=noise_loss,
    right="The timesteps were drawn twice: noise was added at one t, and the U-Net was told another. Told that a "
    "nearly clean latent is mostly noise, it names noise that is not there, and the better it is, the worse.",
    hints=(
        "The weights are the published ones and the latents have the right size. What else does a U-Net need to know?",
        "It sees x_t and t. Do they belong together?",
        "Draw t once, and use it in both places.",
    ),
    mistakes=(
        Mistake(
            _with_told(torch.zeros_like),
            "The U-Net is now told 0, whatever noise was added: it takes every latent for a clean one.",
        ),
        Mistake(
            _with_told(lambda t: t + 1),
            "One t now, and the U-Net is told the next one. The paper counts from 1 and the library from 0; both "
            "places want the same number.",
        ),
        Mistake(
            lambda unet, add_noise, x0, eps, draw_t: F.mse_loss(unet(add_noise(x0, eps, t := draw_t()), t), x0),
            "t is right. Now the prediction is compared with the clean latent, and this U-Net names the noise.",
        ),
    ),
    test=lambda answer: follows(
        answer, noise_loss, _noise_probes(), "it differs from the error of a U-Net that is told the t of the noise."
    ),
    probes=_noise_probes,
)


def told(logits, prompts, labels):
    """The condition: the true identity's prompt, as strong as the model is sure of it.
    [B, N], [N, D], [B] -> [B, D]."""
    p_y = logits.softmax(dim=1).gather(1, labels[:, None])
    return p_y * prompts[labels]


def _told_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    sizes = ((6, 4, 3), (4, 7, 5))
    return [(torch.randn(b, n, generator=dice), torch.randn(n, d, generator=dice), torch.arange(b) % n)
            for b, n, d in sizes]  # fmt: skip


def _test_told(answer) -> None:
    follows(answer, told, _told_probes(), "it differs from p_y times the true identity's prompt.")
    logits, prompts, labels = _told_probes()[0]
    logits.requires_grad_()
    c = answer(logits, prompts, labels)
    need(c.requires_grad, "the values are right, and no gradient comes back through them.")
    (gradient,) = torch.autograd.grad(c.square().sum(), logits)
    need(gradient.abs().max() > 1e-3, "no gradient comes back to the logits.")


TOLD = Exercise(
    name="bug.11",
    kind="diagnose",
    given=broken.told,
    solution=told,
    right="The sum of what was kept is p_y itself, so p_y is divided away and c = e_y: a function of the label. The "
    "encoder hears nothing. The official code does just this in its class-wise row.",
    hints=(
        "gradient_dif is 0 up to rounding: nothing that the encoder computed is left in c.",
        "What is kept.sum(1), in terms of p?",
        "Do not divide.",
    ),
    mistakes=(
        Mistake(
            lambda logits, prompts, labels: logits.softmax(1) @ prompts,
            "That is Eq. 12, which sends a gradient. But this scheme was to keep the true identity only: p_y e_y.",
        ),
        Mistake(
            lambda logits, prompts, labels: logits.detach().softmax(1).gather(1, labels[:, None]) * prompts[labels],
            "The values are right, but they are detached from the logits: gradient_dif is still 0.",
            lambda answer: not answer(
                _told_probes()[0][0].requires_grad_(), *_told_probes()[0][1:]
            ).requires_grad,
        ),
    ),
    test=_test_told,
    probes=_told_probes,
)  # fmt: skip


def start(d_in, r, d_out):
    """The adapter's matrices A [d_in, r] and B [r, d_out] before the first step."""
    return torch.randn(d_in, r) / d_in**0.5, torch.zeros(r, d_out)


def _test_start(answer) -> None:
    A, B = answer(12, 3, 9)
    need(tuple(A.shape) == (12, 3) and tuple(B.shape) == (3, 9), "A is [d_in, r] and B is [r, d_out].")
    need((A @ B == 0).all(), "before the first step the adapter should add exactly nothing.")
    need(A.abs().max() > 0 or B.abs().max() > 0, "both are zero: each one's gradient carries the other as a factor.")


START = Exercise(
    name="bug.12",
    kind="diagnose",
    given=broken.start,
    solution=start,
    right="The gradient of A carries B as a factor, and that of B carries A. With both at zero neither ever moves. One "
    "random, one zero: nothing changes at the start, and the zero one can learn.",
    hints=(
        "The error is the same to the last digit after 200 steps: not slow, but stuck.",
        "What is the gradient of h A B with respect to B, if A is 0?",
        "One of the two may be zero, not both.",
    ),
    mistakes=(
        Mistake(
            lambda d_in, r, d_out: (torch.randn(d_in, r), torch.randn(r, d_out)),
            "Now it learns, and it no longer starts as the pre-trained layer: see the first line. One of them has to "
            "be zero.",
            lambda answer: min(float(part.abs().min()) for part in answer(12, 3, 9)) > 0,
        ),
        Mistake(
            lambda d_in, r, d_out: (torch.zeros(r, d_in), torch.randn(d_out, r)),
            "The shapes have changed places: A is [d_in, r], B is [r, d_out].",
            lambda answer: [tuple(part.shape) for part in answer(12, 3, 9)] == [(3, 12), (9, 3)],
        ),
    ),
    test=_test_start,
    probes=lambda: [(12, 3, 9), (4, 2, 6)],
)
