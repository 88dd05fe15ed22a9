"""What the full tier of people who change clothes starts from, in miniature: PRCC and LTCC with their owners' folders
and file names, a parser's label maps, a reader's descriptions, and Stable Diffusion Inpainting with random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..expansion.descriptions import misread, true_description
from ..expansion.real.parsing import LABELS
from ..expansion.specs import CLOTHES_DOMAINS, ClothesSpec
from ..expansion.wardrobe import wearers
from ..expansion.world import OutfitRecord, photograph, plan
from ..world.domains import Sample
from ..world.figure import BELT, HAIR, LOWER, SCARF, SHOES, SKIN, UPPER
from ..world.truth import garment_mask

_FEW = {"train_ids": 4, "test_ids": 3, "train": 16, "query": 6, "gallery": 9, "catalogue": 60, "in_fashion": 20}
#: Data set: who is in it.
SETS: dict[str, ClothesSpec] = {
    "prcc": replace(CLOTHES_DOMAINS["CP"], **_FEW),
    "ltcc": replace(CLOTHES_DOMAINS["CL"], **_FEW, worn=(0, 1)),
}
#: Stable Diffusion Inpainting's own sampler, as its folder describes it.
SCHEDULE = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon",
}  # fmt: skip
#: Parts of a figure and what LIP calls them.
_PARTS = (((SKIN,), "face"), ((HAIR,), "hair"), (UPPER, "upper clothes"), (LOWER, "trousers"), ((SHOES,), "left shoe"),
          ((BELT,), "upper clothes"), ((SCARF,), "scarf"))  # fmt: skip


def write_clothes(folder: Path) -> None:
    """Write `folder`/data/prcc and LTCC_ReID, label maps of training pictures and queries in `folder`/parsed/NAME, and
    descriptions of training pictures in `folder`/answers/NAME, each named as the picture is in its data set."""
    for name, spec in SETS.items():
        root = folder / "data" / {"prcc": "prcc/rgb", "ltcc": "LTCC_ReID"}[name]
        for record in plan(spec):
            sample = photograph(spec, record)
            path = _name(name, record)
            scale = 2 if record.index % 2 else 3  # crops differ in size
            picture = Image.fromarray(sample.picture.image)
            picture = picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.BICUBIC)
            picture.save(_made(root / path), quality=90)
            if record.split != "gallery":
                labels = Image.fromarray(label_map(sample)).resize(picture.size, Image.Resampling.NEAREST)
                labels.putpalette([value for k in range(256) for value in (k, 255 - k, 7 * k % 256)])
                labels.save(_made((folder / "parsed" / name / path).with_suffix(".png")))
            if record.split == "train":
                truth = true_description(wearers(spec)[record.person].outfits[record.outfit])
                said = misread(truth, np.random.default_rng([spec.seed, record.index]))
                _made((folder / "answers" / name / path).with_suffix(".txt")).write_text(f"{said}\n")


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _name(name: str, record: OutfitRecord) -> Path:
    person, place = f"{record.pid:03d}", {"train": "train", "query": "query", "gallery": "test"}[record.split]
    if name == "ltcc":
        return Path(place, f"{person}_{record.outfit + 1}_c{record.camera}_{record.index:06d}.png")
    letter = "ABC"[record.camera - 1]
    if record.split == "train":
        return Path("train", person, f"{letter}_cropped_rgb{record.index:03d}.jpg")
    return Path("test", letter, person, f"cropped_rgb{record.index:03d}.jpg")


def label_map(sample: Sample) -> np.ndarray:
    """What a parser trained on LIP would say of a picture, were it never wrong: uint8 [64, 32]."""
    labels = np.zeros(sample.picture.image.shape[:2], np.uint8)
    for parts, word in _PARTS:
        labels[garment_mask(sample, parts)] = LABELS.index(word)
    return labels


def write_inpainting(folder: Path, unet: dict, source: Path) -> None:
    """A pipeline's folder as diffusers saves it: a random U-Net of nine input channels of the architecture `unet`, with
    VAE, text encoder and tokenizer of the folder `source`."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextModel

    torch.manual_seed(0)
    StableDiffusionInpaintPipeline(
        AutoencoderKL.from_pretrained(source / "vae"), CLIPTextModel.from_pretrained(source / "text_encoder"),
        AutoTokenizer.from_pretrained(source / "tokenizer"), UNet2DConditionModel(**unet | {"in_channels": 9}),
        DDIMScheduler(**SCHEDULE), None, None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
