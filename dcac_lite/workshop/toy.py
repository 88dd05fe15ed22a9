"""A training in miniature for the planted bugs: vectors in the place of pictures, one linear layer as the encoder.

Each function runs something small with one part exchanged, in a second or less, and prints what one would look at:
the same numbers that TROUBLESHOOTING.md knows of real runs."""

import itertools
import math
import random
from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from .chapter_02 import moved_prototypes, prototype_loss
from .chapter_02_search import average_precision, pk_batch

PEOPLE, CAMERAS, SHOTS, WIDTH, FEATURE = (
    24,
    3,
    2,
    24,
    16,
)  # training people; as many cameras and shots each; numbers of a "picture", of a feature
TAU, GAMMA = 0.1, 0.2
EPOCHS, BATCHES, MILESTONES = 8, 10, (5, 7)  # the rate falls to a tenth after so many epochs


def _people(number: int, seed: int) -> SimpleNamespace:
    """Some people's pictures: x [n, WIDTH], labels, cameras. Two shots of one camera share a background."""
    dice, fixed = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(0)
    look, style = torch.randn(10, WIDTH, generator=fixed), torch.randn(CAMERAS, WIDTH, generator=fixed)
    x, labels, cameras = [], [], []
    for who in range(number):
        person = torch.randn(10, generator=dice) @ look / 3
        for camera in range(CAMERAS):
            background = 0.6 * torch.randn(WIDTH, generator=dice)
            for _ in range(SHOTS):
                x.append(person + style[camera] + background + 0.2 * torch.randn(WIDTH, generator=dice))
                labels.append(who)
                cameras.append(camera)
    return SimpleNamespace(x=torch.stack(x), labels=torch.tensor(labels), cameras=np.array(cameras))


# ---------------------------------------------------------------- the parts of a training that a bug may sit in


def id_loss(logits, labels):
    """Eq. 5, smoothed by 0.1."""
    return F.cross_entropy(logits, labels, label_smoothing=0.1)


def first_classifier(identities, width):
    """The classifier's weights before the first step."""
    return 0.001 * torch.randn(identities, width)


def take_batch(x, labels, rows):
    """Pictures and labels of some rows."""
    return x[rows], labels[rows]


def memory_step(prototypes, unit, labels):
    """The prototype loss of a batch, and the prototypes afterwards. unit: features of length 1."""
    value = prototype_loss(unit, labels, prototypes, TAU)
    return value, moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def train(epochs, batches, step, scheduler):
    """Trains; returns what every step returns. The scheduler's milestones are epochs."""
    history = []
    for _ in range(epochs):
        history += [step(batch) for batch in batches]
        scheduler.step()
    return history


RIGHT = {part.__name__: part for part in (id_loss, first_classifier, take_batch, memory_step, train)}


def _trained(parts: dict) -> SimpleNamespace:
    p, data = SimpleNamespace(**(RIGHT | parts)), _people(PEOPLE, 1)
    torch.manual_seed(0)
    encoder = torch.nn.Parameter(0.3 * torch.randn(WIDTH, FEATURE))
    classifier = torch.nn.Parameter(p.first_classifier(PEOPLE, FEATURE))
    optimizer, drawn = torch.optim.Adam([encoder, classifier], lr=0.03), itertools.count()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, MILESTONES)
    feature = lambda x: F.batch_norm(x @ encoder, None, None, training=True)  # noqa: E731
    with torch.no_grad():
        unit = F.normalize(feature(data.x))
    prototypes = F.normalize(torch.zeros(PEOPLE, FEATURE).index_add(0, data.labels, unit))

    def step(_):
        nonlocal prototypes
        rows = torch.tensor(pk_batch(data.labels.tolist(), 8, 4, next(drawn)))
        x, labels = p.take_batch(data.x, data.labels, rows)
        z = feature(x)
        value, prototypes = p.memory_step(prototypes, F.normalize(z), labels)
        losses = p.id_loss(z @ classifier.T, labels), value
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        return [loss.item() for loss in losses]

    history = p.train(EPOCHS, range(BATCHES), step, scheduler)
    with torch.no_grad():
        named = (feature(data.x) @ classifier.T).argmax(1) == data.labels
    return SimpleNamespace(history=history, named=float(named.float().mean()), encoder=encoder.detach())


@cache
def _healthy_encoder() -> torch.Tensor:
    return _trained({}).encoder


def floor(identities: int, smoothing: float = 0.1) -> float:
    """The smallest ID loss that a smoothed label allows."""
    own, other = 1 - smoothing + smoothing / identities, smoothing / identities
    return -own * math.log(own) - (identities - 1) * other * math.log(other)


def training(**parts) -> None:
    """Trains with some parts exchanged, and prints the losses and how many training pictures are named right."""
    run = _trained(parts)
    (first_id, first_pcl), (last_id, last_pcl) = run.history[0], np.mean(run.history[-10:], axis=0)
    print(f"ID loss: first {first_id:.2f} (ln {PEOPLE} = {math.log(PEOPLE):.2f}), last {last_id:.2f}"
          f" (no lower than {floor(PEOPLE):.2f})")  # fmt: skip
    print(f"prototype loss: first {first_pcl:.2f}, last {last_pcl:.2f}")
    print(f"training pictures named right: {run.named:.0%}, by chance {1 / PEOPLE:.0%}")


# ---------------------------------------------------------------- searching


def scores(unit, data, average_precision=average_precision) -> tuple[float, float]:
    """mAP and R1 in percent of features of length 1, each picture once the query."""
    similar = (unit @ unit.T).numpy()
    found, first = [], []
    for q in range(len(unit)):
        rest = np.arange(len(unit)) != q
        person, camera = data.labels.numpy()[rest], data.cameras[rest]
        query = int(data.labels[q]), int(data.cameras[q])
        found.append(average_precision(1 - similar[q, rest], person, camera, *query))
        valid = ~((person == query[0]) & (camera == query[1]))
        first.append(person[valid][similar[q, rest][valid].argmax()] == query[0])
    return 100 * float(np.mean(found)), 100 * float(np.mean(first))


def searching(average_precision) -> None:
    """Prints the mAP of a trained toy and of features that know nothing, by a given average precision."""
    data = _people(30, 2)
    trained = F.normalize(F.batch_norm(data.x @ _healthy_encoder(), None, None, training=True))
    blind = F.normalize(torch.randn(len(data.x), FEATURE, generator=torch.Generator().manual_seed(0)))
    for name, unit in (("trained features", trained), ("random features", blind)):
        print(f"{name}: mAP {scores(unit, data, average_precision)[0]:.1f} % on {30} unseen people")


def ranking(ranked) -> None:
    """Prints how well `ranked(query, gallery)` finds people by features of all lengths, and how often one picture is
    first."""
    data, dice = _people(30, 2), torch.Generator().manual_seed(0)
    f = F.batch_norm(data.x @ _healthy_encoder(), None, None, training=True)
    f = f * (0.6 * torch.randn(len(f), 1, generator=dice)).exp()  # contrast, say: it makes a feature longer or shorter
    asked = torch.from_numpy(data.cameras == 0)  # from one camera, searched in the others
    first = ranked(f[asked], f[~asked])[:, 0]
    right = (data.labels[~asked][first] == data.labels[asked]).float().mean()
    favourites = torch.bincount(first).sort(descending=True).values[:5].sum() / len(first)
    print(f"the first picture shows the right person for {right:.0%} of {len(first)} queries")
    print(f"five of the {int((~asked).sum())} gallery pictures come first for {favourites:.0%} of the queries")


def one_by_one(features) -> None:
    """Prints mAP of `features(neck, f)` when pictures come in large batches, in small ones, and one at a time."""
    data, encoder = _people(30, 2), _healthy_encoder()
    for size in (len(data.x), 4, 2):
        neck = torch.nn.BatchNorm1d(FEATURE, affine=False)
        with torch.no_grad():
            for _ in range(30):
                neck(data.x @ encoder)
            unit = torch.cat([features(neck, part @ encoder) for part in data.x.split(size)])
        print(f"{size} pictures at a time: mAP {scores(F.normalize(unit), data)[0]:.1f} %")


# ---------------------------------------------------------------- the diffusion side


def _covariance(dice: torch.Generator) -> torch.Tensor:
    """That of latents with structure: few directions hold most of their variance, which is 1 on average."""
    axes = torch.linalg.qr(torch.randn(16, 16, generator=dice)).Q
    spread = torch.tensor([7.0, 7.0, 1.0, 1.0] + [0.02] * 12)
    return axes @ torch.diag(spread / spread.mean()) @ axes.T


def _denoiser(covariance: torch.Tensor, abar: float) -> torch.Tensor:
    """The matrix that names the noise in latents of a covariance as well as can be, at one noise level."""
    return (1 - abar) ** 0.5 * torch.linalg.inv(abar * covariance + (1 - abar) * torch.eye(16))


def denoising(latents) -> None:
    """Prints the denoising loss of a network that was made for latents of variance 1, given
    `latents(mean, scaling)`."""
    dice = torch.Generator().manual_seed(0)
    covariance = _covariance(dice)
    root, scaling = torch.linalg.cholesky(covariance), 0.18215
    x0 = latents((torch.randn(4000, 16, generator=dice) @ root.T) / scaling, scaling)
    errors = []
    for abar in (0.9, 0.5, 0.1):
        eps = torch.randn(x0.shape, generator=dice)
        x_t = abar**0.5 * x0 + (1 - abar) ** 0.5 * eps
        errors.append(float((x_t @ _denoiser(covariance, abar) - eps).square().mean()))
    print(f"SD of the latents {float(x0.std()):.2f}; diffusion loss {np.mean(errors):.2f} (predicting nothing: 1)")


def telling(noise_loss) -> None:
    """Prints the denoising loss of a network that knows latents and noise levels, as `noise_loss(unet, add_noise, x0,
    eps, draw_t)` asks it."""
    dice, timesteps = torch.Generator().manual_seed(0), random.Random(0)
    covariance, levels = _covariance(dice), torch.linspace(0.98, 0.02, 20)
    matrices = torch.stack([_denoiser(covariance, float(abar)) for abar in levels])
    x0 = torch.randn(4000, 16, generator=dice) @ torch.linalg.cholesky(covariance).T
    eps = torch.randn(x0.shape, generator=dice)

    def draw_t():
        return torch.tensor(timesteps.choices(range(len(levels)), k=len(x0)))

    def add_noise(x0, eps, t):
        abar = levels[t][:, None]
        return abar**0.5 * x0 + (1 - abar) ** 0.5 * eps

    def unet(x_t, t):
        return torch.einsum("bi,bij->bj", x_t, matrices[t])

    t = draw_t()
    published = F.mse_loss(unet(add_noise(x0, eps, t), t), eps)
    loss = noise_loss(unet, add_noise, x0, eps, draw_t)
    print(f"SD of the latents {float(x0.std()):.2f}; diffusion loss {float(loss):.2f} (predicting nothing: 1; "
          f"as published: {float(published):.2f})")  # fmt: skip


def teaching(condition) -> None:
    """Prints the gradients at z of an ID loss and of a denoising error under `condition(logits, prompts, labels)`."""
    dice = torch.Generator().manual_seed(0)
    z, W, prompts, wanted = (torch.randn(*shape, generator=dice) for shape in ((16, 8), (10, 8), (10, 6), (16, 6)))
    labels = torch.arange(16) % 10
    z.requires_grad_()
    logits = z @ W.T
    for name, loss in (
        ("gradient_reid", id_loss(logits, labels)),
        ("gradient_dif", F.mse_loss(condition(logits, prompts, labels), wanted)),
    ):
        (found,) = torch.autograd.grad(loss, z, retain_graph=True, allow_unused=True) if loss.requires_grad else (None,)
        print(f"{name}: {0.0 if found is None else float(found.norm()):.4f}")


def adapting(start) -> None:
    """Fits an adapter of rank 2 that `start(d_in, r, d_out)` makes, and prints how far the layer goes."""
    torch.manual_seed(0)
    h, W = torch.randn(200, 10), torch.randn(10, 10)
    target = h @ (W + torch.randn(10, 2) @ torch.randn(2, 10))
    A, B = (torch.nn.Parameter(part) for part in start(10, 2, 10))
    print(f"before the first step the adapted layer differs from the old one by {(h @ A @ B / 2).norm().item():.2f}")
    optimizer, errors = torch.optim.Adam([A, B], lr=0.05), []
    for _ in range(200):
        error = F.mse_loss(h @ W + h @ A @ B / 2, target)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    print(f"error: first {errors[0]:.2f}, after 200 steps {errors[-1]:.2f}")
