"""The arms of stage 2: what is trained, once, and kept."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from ..data.domains import Domain
from ..paths import own_folder, runs_root
from ..pretrained.files import load_exactly, read_tensors, write_json, write_tensors
from .activations import COPIES, encoder_key, of_copies, of_test, of_training
from .domains import clothes_spec, load_clothes
from .head import Head
from .learning import Material, learn
from .pools import code_of, material_of
from .recipe import RECIPES, Recipe
from .specs import ClothesSpec


@dataclass(frozen=True)
class Arm:
    """A line of the table. kind: of its copies (`pools.POOLS`), None without; pairing: of `learning.PAIRINGS`;
    adversarial: with CAL's losses; copies: K; outfits: real ones of every training person, None for the domain's."""

    name: str
    kind: str | None = None
    pairing: str = "none"
    adversarial: bool = True
    copies: int = COPIES
    outfits: int | None = None


REFERENCE = "second augmentation"
#: In the order in which they are run.
ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("ID loss only", adversarial=False),
        Arm("CAL"),
        Arm(REFERENCE, "second augmentation", "growing"),
        Arm("O2", "O2", "growing"),
        Arm("O2, all from the start", "O2", "paired"),
        Arm("O2, concatenated", "O2", "concatenated"),
        Arm("O2, K = 1", "O2", "growing", copies=1),
        Arm("O2, K = 2", "O2", "growing", copies=2),
        Arm("O2, without CAL", "O2", "growing", adversarial=False),
        Arm("second augmentation, without CAL", "second augmentation", "growing", adversarial=False),
        Arm("O2, concatenated, without CAL", "O2", "concatenated", adversarial=False),
        Arm("O-, without CAL", "O-", "growing", adversarial=False),
        Arm("O-", "O-", "growing"),
        Arm("O1", "O1", "growing"),
        Arm("O3", "O3", "growing"),
        Arm("inpainted", "inpainted", "growing"),
        Arm("inpainted, without CAL", "inpainted", "growing", adversarial=False),
        *(Arm(kind, kind, "growing") for kind in ("random prompts", "own outfit", "empty prompt", "no mask")),
        *(Arm(f"CAL, {n} outfits", outfits=n) for n in (3, 5, 10)),
    )
}


@cache
def people(domain: str, tier: str, outfits: int | None) -> tuple[ClothesSpec, Domain]:
    """An embedded domain: how it is described and its pictures."""
    return clothes_spec(domain, tier, outfits), load_clothes(domain, tier, outfits)


def material(arm: Arm, domain: str, tier: str) -> Material:
    """What an arm learns from, made if it is not there."""
    spec, pictures = people(domain, tier, arm.outfits)
    train = pictures.train
    copies = None if arm.kind is None else of_copies(arm.kind, spec, train)[:, : arm.copies]
    return Material(of_training(spec, train), copies, train.pids, train.clothes)


def key(arm: Arm, domain: str, tier: str, seed: int, recipe: Recipe) -> str:
    """Hash of everything that a trained head depends on; an arm's name is none of it."""
    values = {name: value for name, value in asdict(arm).items() if name != "name"}
    spec, pictures = people(domain, tier, arm.outfits)
    kind = arm.kind and material_of(arm.kind, spec, pictures.train.names, COPIES)
    code = [*encoder_key(), code_of("augment"), code_of("expansion.learning")]
    text = json.dumps([values, kind, pictures.fingerprint, seed, asdict(recipe), code])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def trained(arm: Arm, domain: str, tier: str, seed: int, recipe: Recipe | None = None) -> Head:
    """The head of an arm, found or trained, in evaluation mode. recipe: the tier's, if None."""
    recipe = recipe or RECIPES[tier]
    folder = own_folder(runs_root() / tier / "clothes")
    file: Path = folder / f"{key(arm, domain, tier, seed, recipe)}.safetensors"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            partial = file.with_suffix(".partial")
            head, history = learn(material(arm, domain, tier), arm.pairing, arm.adversarial, recipe, seed, partial)
            write_json({"arm": asdict(arm), "seed": seed, "history": history}, file.with_suffix(".json"))
            write_tensors(head.state_dict(), file)
            partial.unlink(missing_ok=True)
    state = read_tensors(file)
    head = Head(state["layer.1.weight"].shape[1], *state["classifier.weight"].shape[::-1])
    load_exactly(head, state, file)
    return head.eval()


def test_features(head: Head, arm: Arm, domain: str, tier: str) -> dict[str, torch.Tensor]:
    """Features of queries and gallery, by split, float32 [N, dim]."""
    spec, pictures = people(domain, tier, arm.outfits)
    splits = {split: getattr(pictures, split) for split in ("query", "gallery")}
    return {name: head.features(torch.from_numpy(np.array(of_test(spec, s)))) for name, s in splits.items()}
