"""A rehearsal of the full tier: real folder layouts and file formats, made-up people, random weights.

`python -m dcac_lite rehearsal` writes miniature data sets and weights, then goes the whole way of the
full tier with a few training steps: verify, train, evaluate, export; then that of the two other systems,
people who change clothes (`rehearsal_clothes`) and Re-ID by inversion. `--size full` does it with CLIP
ViT-B/16's and Stable Diffusion 1.5's own architectures (15 GB of disk; meant for a GPU). What comes
out says nothing about the methods; that it comes out says that the real thing will run.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

from ..paths import LITE_WEIGHTS, PACKAGE, replacing, runs_root
from ..pretrained.single_file import SD15_UNET, SD15_VAE, sd15_schedule
from ..tiers import REHEARSAL, REHEARSAL_FOLDER

#: Architectures with the parts of the real ones (four levels, a factor of eight, 16 x 16 patches) and few channels.
SMALL_UNET = {
    "sample_size": 64,
    "block_out_channels": (32, 32, 64, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
    "cross_attention_dim": 64,
}
SMALL_VAE = SD15_VAE | {"block_out_channels": [16, 16, 32, 32], "layers_per_block": 1, "norm_num_groups": 8}
SD15_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
SMALL_VISION = {"image_size": 224, "patch_size": 16, "width": 64, "layers": 3, "head_width": 32}


def prepare(size: str = "small") -> Path:
    """Write the rehearsal's data sets and weights, if they are not there, and return their folder.

    size: "small", or "full" for the real architectures. Random weights, always the same ones."""
    folder = runs_root() / REHEARSAL_FOLDER
    stamp = folder / "prepared.json"
    files = ("rehearsal.py", "rehearsal_data.py", "rehearsal_clothes.py")
    code = b"".join((PACKAGE / "tools" / name).read_bytes() for name in files)
    state = {"size": size, "code": hashlib.sha256(code).hexdigest()}
    if stamp.exists() and json.loads(stamp.read_text()) == state:
        return folder
    from .rehearsal_clothes import write_clothes, write_inpainting
    from .rehearsal_data import write_tiny_datasets

    shutil.rmtree(folder, ignore_errors=True)
    write_tiny_datasets(folder / "data", images_per_camera=4)
    _write_clip(folder / "clip", size)
    _write_stable_diffusion(folder / "stable-diffusion", size)
    write_clothes(folder)
    write_inpainting(folder / "inpainting", SD15_UNET if size == "full" else SMALL_UNET, folder / "stable-diffusion")
    with replacing(stamp) as temporary:
        temporary.write_text(json.dumps(state))
    return folder


def _write_clip(folder: Path, size: str) -> None:
    """An open_clip folder with a square image tower, whose positions must be resized as OpenAI's must."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    lite = json.loads((LITE_WEIGHTS / "clip" / "open_clip_config.json").read_text())
    if size == "full":
        lite["model_cfg"] = open_clip.get_model_config("ViT-B-16-quickgelu")
    else:
        lite["model_cfg"] |= {"vision_cfg": SMALL_VISION, "embed_dim": 48}
    torch.manual_seed(0)
    model = open_clip.CLIP(**lite["model_cfg"])
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(lite))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(LITE_WEIGHTS / "clip" / name, folder / name)


def _write_stable_diffusion(folder: Path, size: str) -> None:
    """A diffusers folder; the U-Net in its `non_ema` variant, which the full tier takes."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet, vae = (SD15_UNET, SD15_VAE) if size == "full" else (SMALL_UNET, SMALL_VAE)
    UNet2DConditionModel(**unet).save_pretrained(folder / "unet", variant="non_ema")
    AutoencoderKL(**vae).save_pretrained(folder / "vae")
    sd15_schedule().save_pretrained(folder / "scheduler")
    lite = LITE_WEIGHTS / "stable-diffusion"
    text = json.loads((lite / "text_encoder" / "config.json").read_text()) | (SD15_TEXT if size == "full" else {})
    CLIPTextModel(CLIPTextConfig(**text)).save_pretrained(folder / "text_encoder")
    shutil.copytree(lite / "tokenizer", folder / "tokenizer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", default="small", choices=("small", "full"), help="of the networks; default: small")
    parser.set_defaults(call=_rehearse)


def _rehearse(arguments: argparse.Namespace) -> None:
    from ..__main__ import parse
    from ..experiment import Experiment
    from ..release.export import FeatureExtractor
    from ..runs import run
    from .verify import verify

    folder = prepare(arguments.size)
    print(f"Data sets and weights ({arguments.size}) in {folder}; now as with real ones.")
    verify(folder / "data")  # which rightly says that the counts are not those of Table 1
    for options in ({"conditioning": "none"}, {}, {"recipe": "official"}):
        result = run(Experiment(tier=REHEARSAL.name, sources=("MA", "MS"), seed=1, **options))
        print(result.experiment.label, f"({result.experiment.recipe} recipe)", result.folder)
        print(result.evaluate("D", "C3").round(1).to_string(index=False))
    extractor = FeatureExtractor.from_run(result)
    extractor.save_pretrained(folder / "encoder")
    images = sorted((folder / "data").rglob("*.jpg"))[:4]
    features = FeatureExtractor.from_pretrained(folder / "encoder").features(images)
    print(f"Encoder in {folder / 'encoder'}; features of {len(images)} files: {tuple(features.shape)}")
    for words in related_commands(folder):
        print("$ python -m dcac_lite", *words)
        parsed = parse(words)
        parsed.call(parsed)
    print("The rehearsal went through.")


def related_commands(folder: Path) -> list[list[str]]:
    """The words of the commands that go the way of the two other systems, on the material in `folder`."""
    commands, tier = [], ["--tier", REHEARSAL.name]
    # LTCC's queries lie in one folder; their copies vote
    for name, pictures, splits in (("prcc", "prcc/rgb", ("train",)), ("ltcc", "LTCC_ReID", ("train", "query"))):
        masks, words, copies = (folder / "clothes" / name / kind for kind in ("masks", "words", "copies"))
        commands.append(["clothes", "masks", str(folder / "parsed" / name), str(masks)])
        for split in splits:
            drawn = [str(folder / "answers" / name), str(words), "--split", split, "--count", "2"]
            places = [str(place / split) for place in (folder / "data" / pictures, masks, words, copies)]
            cheaper = ["--queries"] if split == "query" else []
            weights = ["--weights", str(folder / "inpainting"), "--keep-empty", *cheaper]
            commands += [["clothes", "words", name, *drawn, *tier], ["clothes", "paint", *places, *weights, *tier]]
        votes = ["--query-copies", str(copies)] if "query" in splits else []
        commands.append(["clothes", "learn", name, "--copies", str(copies), *votes, *tier])
    stages = [["inversion", door, "--tier", REHEARSAL.name] for door in ("train", "rank")]
    return [*commands, *stages]
