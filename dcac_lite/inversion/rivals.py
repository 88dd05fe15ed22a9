"""Who invents people best? The auxiliary generator beside Gaussians and the VAE that the paper rejected, some seeds
each, all from the rows of one table: how much of its spread they keep, and how near its people they stay."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from ..device import compute_device
from .auxiliary import like_a_gaussian, train_auxiliary
from .measures import nearness, spread_kept
from .system import System
from .training import seeded
from .vae import train_vae

WEIGHTS = (1.0, 0.1, 0.03, 0.01)  # of the VAE's KL divergence; 1 is the evidence lower bound
DRAWS = 1000


@torch.no_grad()
def rivals(system: System, seeds: Sequence[int]) -> pd.DataFrame:
    """For each inventor of people and each seed of its training and its noise, `measures.spread_kept` and
    `measures.nearness` of `DRAWS` vectors: columns people from, seed, spread kept, nearness. The table is the
    system's, whatever the seed; its generator must have been trained or loaded before: nothing here has gradients."""
    rows, recipe, found = system.generator.table.vectors, system.recipe, []
    for seed in seeds:
        z = torch.randn(DRAWS, recipe.dim, generator=seeded("rivals", seed)).to(compute_device())
        with tempfile.TemporaryDirectory() as folder, torch.enable_grad():
            auxiliary, _ = train_auxiliary(rows, recipe, seed, Path(folder) / "state.pt")
            coders = {weight: train_vae(rows, weight, recipe, seed) for weight in WEIGHTS}
        drawn = {"auxiliary (diffusion)": auxiliary.draw(z, recipe.vector_steps)}
        drawn |= {f"VAE, KL counted {weight:g} times": coder.draw(z) for weight, coder in coders.items()}
        drawn["Gaussians"] = like_a_gaussian(rows.cpu(), DRAWS, seeded("rivals", "gaussian", seed))
        for name, vectors in drawn.items():
            measured = [measure(vectors.cpu(), rows.cpu()) for measure in (spread_kept, nearness)]
            found.append({"people from": name, "seed": seed, "spread kept": measured[0], "nearness": measured[1]})
    return pd.DataFrame(found)
