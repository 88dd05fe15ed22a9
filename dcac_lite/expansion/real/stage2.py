"""Stage 2 on a real data set (DLCR, Sec. 3.2.1): the CLIP encoder of the full tier, fine-tuned on originals and copies.

In a batch stand P people with K originals each and one copy of every original, from a pool that grows. The identity
loss is on all of them, CAL's clothes losses are on the originals. What is random in a step comes from the seed and the
step, so the arms with as many pictures in a batch see the same originals."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from ...augment import augment
from ...data.clothes import ClothesSplit
from ...data.domains import Domain
from ...device import compute_device, full_precision
from ...encoder import ReIDModel, id_loss
from ...inversion.training import fit, fresh, seeded
from ...paths import own_folder, runs_root
from ...pretrained.clip import load_clip_visual
from ...pretrained.files import load_exactly, read_tensors, write_json, write_tensors
from ...sampling import epoch_batches
from ...tiers import TIERS
from ..adversary import outfit_classes
from ..head import Learner
from ..pools import code_of
from ..progressive import Expansion
from ..recipe import Recipe

#: With CAL's losses all: alone; each original with itself, augmented anew, the control of batches as large; or with a
#: copy in other clothes.
ARMS = ("CAL", "second augmentation", "copies")


def check_arms(arms: Sequence[str], copies: object) -> None:
    """Raises ValueError for an arm that is none of ARMS, and for "copies" where there are none."""
    if wrong := [arm for arm in arms if arm not in ARMS]:
        raise ValueError(f"arm is {wrong[0]!r}; expected one of {', '.join(ARMS)}.")
    if "copies" in arms and copies is None:
        raise ValueError("The arm 'copies' needs the folder that they lie in: --copies FOLDER; or name other --arms.")


def expansion_of(arm: str, train: ClothesSplit, copies: np.ndarray | None, recipe: Recipe) -> Expansion | None:
    """What an arm pairs the originals with. Errors as `check_arms`."""
    check_arms([arm], copies)
    pool = {"CAL": None, "second augmentation": train.images[:, None], "copies": copies}[arm]
    return None if pool is None else Expansion(train.images, pool, recipe.every)


def learn(
    train: ClothesSplit, expansion: Expansion | None, tier: str, recipe: Recipe, seed: int, partial: Path
) -> tuple[ReIDModel, list[dict]]:
    """The encoder, trained, and the history of `inversion.training.fit`, which also says what the file `partial` is.

    Raises ValueError where people have no outfits, as `outfit_classes`, or there are too few people for a batch."""
    values, device = TIERS[tier], compute_device()
    labels = torch.from_numpy(np.unique(train.pids, return_inverse=True)[1].reshape(-1))
    outfits, owners = outfit_classes(train.pids, train.clothes)
    learner = fresh(lambda: Learner(_model(tier, int(labels.max()) + 1), owners, recipe.start), "stage 2", seed)
    batches: dict[int, Tensor] = {}

    def loss_of_step(step: int) -> Tensor:
        epoch, place = divmod(step, recipe.iterations)
        if epoch not in batches:
            batches.clear()
            plan = (recipe.identities, recipe.instances, seed, 1 + epoch, recipe.iterations)
            batches[epoch] = epoch_batches(labels, *plan)
        rows, rng = batches[epoch][place], seeded("stage 2", seed, step)
        images = expansion.pairs(rows, epoch, rng) if expansion else torch.from_numpy(train.images[rows.numpy()])
        x = augment(images, values.padding, values.erasing, values.jitter, rng)
        z, logits = learner.head(x.to(device))
        loss = id_loss(logits, labels[rows].repeat(len(x) // len(rows)).to(device))
        with full_precision(z):
            return loss + learner.adversary.step(z[: len(rows)], outfits[rows].to(device), epoch)

    groups = [{"params": [p for p in learner.head.parameters() if p.requires_grad], "lr": recipe.lr}]
    groups[0]["weight_decay"] = recipe.weight_decay
    history = fit(learner, groups, recipe.steps, recipe.decay, loss_of_step, "stage 2", partial, "fastest")
    return learner.head, history


def _model(tier: str, identities: int) -> ReIDModel:
    values = TIERS[tier]
    return ReIDModel(load_clip_visual(values.clip, values.image_size), identities)


def trained(arm: str, domain: Domain, copies: np.ndarray | None, tier: str, recipe: Recipe, seed: int) -> ReIDModel:
    """The encoder of an arm, found or trained, in evaluation mode on the computing device. copies: of `pool.pool_of`.
    Errors as `expansion_of` and `learn`."""
    expansion = expansion_of(arm, domain.train, copies, recipe)
    source = getattr(copies, "filename", None) if arm == "copies" else None  # its name holds the key of the files
    values = [arm, domain.fingerprint, source and Path(source).name, str(TIERS[tier].clip), asdict(recipe), seed]
    key = hashlib.sha256(json.dumps([*values, code_of("expansion.real.stage2")]).encode()).hexdigest()[:12]
    file = own_folder(runs_root() / tier / "clothes") / f"{domain.name}-{key}.safetensors"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            partial = file.with_suffix(".partial")
            model, history = learn(domain.train, expansion, tier, recipe, seed, partial)
            facts = {"arm": arm, "seed": seed, "recipe": asdict(recipe)}
            write_json(facts | {"history": history}, file.with_suffix(".json"))
            write_tensors(model.state_dict(), file)
            partial.unlink(missing_ok=True)
    state = read_tensors(file)
    model = _model(tier, len(state["classifier.weight"]))
    load_exactly(model, state, file)
    return model.to(compute_device()).eval()
