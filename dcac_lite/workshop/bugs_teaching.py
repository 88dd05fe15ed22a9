"""Planted bugs of the diffusion side: latents, the condition, and the adapters."""

import torch

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


def told(logits, prompts, labels):
    """The condition: the true identity's prompt, as strong as the model is sure of it. [B, N], [N, D], [B] -> [B, "
    "D]."""
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
