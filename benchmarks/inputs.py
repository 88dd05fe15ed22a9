"""What the benchmarks run on: drawn images, random features, and models of either size. Needs no download."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcac_lite.data.domains import Domain, read_dataset
from dcac_lite.data.registry import FOLDERS
from dcac_lite.dcac import DCAC
from dcac_lite.experiment import Experiment
from dcac_lite.pretrained.stable_diffusion import StableDiffusion
from dcac_lite.tiers import TIERS

#: Queries, gallery images, feature width, identities. full: MSMT17's (Table 1) and CLIP ViT-B/16's.
RANKING = {"lite": (337, 1591, 128, 75), "full": (11659, 82161, 512, 3060)}
IMAGES_EACH = 4  # of an identity


def draw_dataset(folder: Path, image_size: tuple[int, int], identities: int) -> Domain:
    """A data set in Market-1501 layout with smooth random pictures, IMAGES_EACH training images an
    identity, as JPEG files of `image_size` (height, width) and decoded."""
    from PIL import Image

    rng = np.random.default_rng(0)
    height, width = image_size
    for split, people in zip(FOLDERS.values(), (range(1, identities + 1), [identities + 1], [identities + 1])):
        (folder / split).mkdir(parents=True)
        for pid in people:
            for k in range(IMAGES_EACH):
                coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
                coarse.resize((width, height), Image.Resampling.BICUBIC).save(
                    folder / split / f"{pid:04d}_c{k + 1}s1_{k:06d}_00.jpg", quality=95
                )
    return read_dataset(folder, image_size, name="benchmark")


def draw_features(size: str, queries: int | None, device: torch.device) -> tuple[Tensor, Tensor, np.ndarray, ...]:
    """The arguments of `rank_metrics` at the numbers in RANKING, or with `queries` of the queries:
    normalised features around one centre an identity."""
    wanted, images, width, identities = RANKING[size]
    generator, rng = torch.Generator(device).manual_seed(0), np.random.default_rng(0)
    centres = torch.randn(identities, width, generator=generator, device=device)
    features, pids, cameras = [], [], []
    for n in (wanted if queries is None else min(queries, wanted), images):
        pids.append(rng.integers(0, identities, n))
        cameras.append(rng.integers(1, 16, n))
        drawn = torch.randn(n, width, generator=generator, device=device).mul_(3)
        for start in range(0, n, 4096):  # in parts, for the sake of the peak memory that is measured
            rows = slice(start, start + 4096)
            drawn[rows] += centres[torch.from_numpy(pids[-1][rows]).to(device)]
        features.append(torch.nn.functional.normalize(drawn, out=drawn))
    return *features, *pids, *cameras


def make_model(experiment: Experiment, identities: int, device: torch.device) -> tuple[DCAC, StableDiffusion]:
    """What `training.build` returns; in the full tier random weights in the architectures of CLIP
    ViT-B/16 and Stable Diffusion 1.5."""
    from dcac_lite.training import assemble, build

    if experiment.tier != "full":
        return build(experiment, identities)
    import open_clip
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from dcac_lite.pretrained.single_file import SD15_UNET, SD15_VAE, sd15_schedule

    tier = TIERS["full"]
    torch.manual_seed(experiment.seed)
    config = open_clip.get_model_config(tier.clip.partition(":")[0])
    schedule = sd15_schedule()
    with device:
        visual = open_clip.CLIP(
            **config | {"vision_cfg": config["vision_cfg"] | {"image_size": tier.image_size}}
        ).visual
        unet, vae = UNet2DConditionModel(**SD15_UNET), AutoencoderKL(**SD15_VAE).requires_grad_(False).eval()
        sd = StableDiffusion(unet, vae, schedule, tier.diffusion_size)
        return assemble(experiment, identities, visual, sd), sd


def second_model(dcac: DCAC, share_frozen: bool) -> DCAC:
    """A copy that can be trained on its own. `share_frozen`: what does not learn is the same tensors."""
    shared = {id(p): p for p in dcac.parameters() if not p.requires_grad} if share_frozen else {}
    return copy.deepcopy(dcac, shared)
