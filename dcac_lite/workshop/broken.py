"""Fifteen small pieces that are wrong on purpose. They are shown to learners as they stand, so no comment tells what it
is; `bugs` holds the repaired ones."""

import numpy as np
import torch
import torch.nn.functional as F

from .chapter_02 import moved_prototypes, prototype_loss
from .toy import GAMMA, TAU


def id_loss(logits, labels):
    """Eq. 5 with labels smoothed by 0.1. logits [B, N], labels int64 [B]."""
    log_p = logits.log_softmax(dim=0)
    q = torch.full_like(log_p, 0.1 / logits.shape[1])
    q[torch.arange(len(labels)), labels] += 0.9
    return -(q * log_p).sum(1).mean()


def first_classifier(identities, width):
    """The classifier's weights before the first step."""
    return torch.randn(identities, width)


def smoothed_loss(logits, labels, smoothing=0.1):
    """Eq. 5. logits [B, N], labels int64 [B]."""
    return F.cross_entropy(logits, labels)


def memory_step(prototypes, unit, labels):
    """The prototype loss of a batch, and the prototypes afterwards. unit: features of length 1."""
    prototypes = moved_prototypes(prototypes, unit.detach(), labels, GAMMA)
    return prototype_loss(unit, labels, prototypes, TAU), prototypes


def contrast_step(prototypes, unit, labels):
    """The same, with the loss written out."""
    logits = unit @ prototypes.T * TAU
    return F.cross_entropy(logits, labels), moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def take_batch(x, labels, rows):
    """Pictures and labels of some rows, read in the order in which they lie on the disk."""
    return x[rows.sort().values], labels[rows]


def train(epochs, batches, step, scheduler):
    """Trains; returns what every step returns. The scheduler's milestones are epochs."""
    history = []
    for _ in range(epochs):
        for batch in batches:
            history.append(step(batch))
            scheduler.step()
    return history


def search_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    right = (person == query_person)[np.argsort(distance)]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def list_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])[::-1]]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def features(neck, f):
    """Test features of length 1. neck: the BN neck; f [B, d]: what the encoder gives."""
    return F.normalize(neck(f))


def ranked(query, gallery):
    """Rows of the gallery for each query, the most similar first. query [Q, d], gallery [G, d]: features."""
    return (query @ gallery.T).argsort(dim=1, descending=True)


def latents(mean, scaling):
    """Latents as the U-Net was trained on. mean: the VAE's posterior mean."""
    return mean


def told(logits, prompts, labels):
    """The condition: the true identity's prompt, as strong as the model is sure of it.
    [B, N], [N, D], [B] -> [B, D]."""
    p = logits.softmax(dim=1)
    kept = torch.zeros_like(p).scatter(1, labels[:, None], p.gather(1, labels[:, None]))
    return kept @ prompts / kept.sum(1, keepdim=True)


def start(d_in, r, d_out):
    """The adapter's matrices A [d_in, r] and B [r, d_out] before the first step."""
    return torch.zeros(d_in, r), torch.zeros(r, d_out)


def noise_loss(unet, add_noise, x0, eps, draw_t):
    """Eq. 11 for a batch. draw_t(): timesteps, [B]; add_noise(x0, eps, t): Eq. 10; unet(x_t, t): predicted noise."""
    x_t = add_noise(x0, eps, draw_t())
    return F.mse_loss(unet(x_t, draw_t()), eps)
