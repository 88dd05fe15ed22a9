"""The authors' released checkpoints (`source_ma.pth`, `source_d+ms+c3.pth`, ...) as runs of this package:

python -m dcac_lite convert source_ma.pth runs/full/official-ma [--stray-biases keep|drop]

The folder is that of any finished run, opened by `runs.Run`, with two differences in content: its history has no
rows, and the Stable Diffusion that the checkpoint holds lies in it.
"""

import argparse
import os
import re
import shutil
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from ..adaptation import STRAY_BIAS
from ..encoder import ReIDModel
from ..experiment import Experiment
from ..paths import temporary_name
from ..pretrained.clip import build_visual, visual_architecture
from ..pretrained.files import file_sha256, load_exactly, read_tensors, some, write_json, write_tensors
from ..pretrained.single_file import (
    SCHEDULE_NAMES,
    SD15_UNET,
    SD15_VAE,
    build_unet,
    build_vae,
    check_schedule,
    sd15_schedule,
    unet_names,
)
from ..runs import STABLE_DIFFUSION, Run, describe, finish
from ..tiers import TIERS

#: Where the official model keeps its parts -> names here. U-Net and VAE have LDM names below theirs.
PREFIXES = {
    "encoder.image_encoder.": "reid.visual.",
    "encoder.bnneck.": "reid.neck.",
    "encoder.fc.": "reid.classifier.",
    "denoiser.model.prompt_emb.prompt_emb": "condition.prompts",
    "denoiser.model.": "unet.",
    "denoiser.autoencoder.": "vae.",
    "denoiser.": "schedule.",
}
#: Training identities of each data set (Table 1); every combination has a sum of its own.
IDENTITIES = {"MA": 751, "D": 702, "MS": 1041, "C3": 767}
# loralib's names: weight, bias, lora_A [r, in], lora_B [out, r]
_LORA = re.compile(r"(.+)\.lora_([AB])$")


def convert(
    checkpoint: str | Path,
    out: str | Path,
    stray_biases: str = "keep",
    sources: tuple[str, ...] | None = None,
    tier: str = "full",
    unet: dict = SD15_UNET,
    vae: dict = SD15_VAE,
) -> dict:
    """Write the official checkpoint as a finished run and return a report of what became of its tensors, which
    stands in the run's provenance as "converted" too.

    `out` gets the files of a run and stable-diffusion/, a diffusers folder with the U-Net below the adapters and
    the VAE. Adapters are scaled by 1/r (alpha 1, as the official configurations say). The prototypes, which only
    training uses and the checkpoint does not hold, are zero.

    stray_biases: the official code gives to_q, to_k and to_v of every adapted attention a random bias that
    never learns and that its checkpoints hold. "keep" computes what their authors' model computes,
    "drop" leaves them out. sources: what was trained on; None reads it off the number of identities.
    tier: whose image size and data the run belongs to. unet, vae: architectures, Stable Diffusion 1.5's.

    Supported are checkpoints of the correlation-aware scheme saved in training mode, as the official
    trainer does (loralib merges adapters into the weights in evaluation mode), and without camera
    embedding. Raises ValueError naming every tensor that is missing, left over or wrong."""
    checkpoint, out = Path(checkpoint), Path(out)
    if stray_biases not in ("keep", "drop"):
        raise ValueError(f"stray_biases is {stray_biases!r}; expected 'keep' or 'drop'.")
    if out.exists():
        raise FileExistsError(f"{out} exists already; name a folder that does not.")
    parts = split_parts(read_tensors(checkpoint), checkpoint)
    check_schedule(parts["schedule"].get("betas"), checkpoint)
    identities = _identities(parts, checkpoint)
    reid = ReIDModel(build_visual(_architecture(parts["reid"], TIERS[tier].image_size, checkpoint)), identities)
    load_exactly(reid, parts["reid"], f"{checkpoint} (encoder, neck, classifier)")

    adapters = {name: tensor for name, tensor in parts["unet"].items() if _LORA.match(name)}
    ranks = {tensor.shape[0] for name, tensor in adapters.items() if name.endswith("lora_A")}
    if len(ranks) != 1:
        raise ValueError(
            f"{checkpoint} has adapters of ranks {sorted(ranks)}; expected one rank (FINETUNE_MODE 'lora')."
        )
    rank = ranks.pop()
    biases = {name: tensor for name, tensor in parts["unet"].items() if STRAY_BIAS.fullmatch(name)}
    base = {name: tensor for name, tensor in parts["unet"].items() if name not in adapters and name not in biases}
    network = build_unet(base, unet, checkpoint)
    autoencoder = build_vae(parts["vae"], vae, checkpoint)
    added = adapters | biases if stray_biases == "keep" else adapters
    trained = {
        f"unet.{_peft_name(name)}": tensor
        for name, tensor in unet_names(base | added, network.config, checkpoint).items()
        if _LORA.match(name) or STRAY_BIAS.fullmatch(name)
    }
    trained |= {f"reid.{name}": tensor for name, tensor in reid.state_dict().items()}
    trained |= {
        "condition.prompts": parts["condition"],
        "memory.prototypes": torch.zeros(identities, reid.classifier.in_features),
    }
    kept = bool(biases) and stray_biases == "keep"
    experiment = Experiment(
        tier,
        sources or _sources(identities),
        "correlation-aware",
        "lora",
        rank,
        recipe="official" if kept else "default",
    ).resolved()
    report = {
        "file": checkpoint.name,
        "sha256": file_sha256(checkpoint),
        "identities": identities,
        "stray_biases": {"layers": len(biases), "numbers": sum(b.numel() for b in biases.values()), "kept": kept},
        "tensors": {
            "reid": len(parts["reid"]),
            "condition": 1,
            "unet": len(base),
            "adapters": len(adapters),
            "vae": len(parts["vae"]),
        },
        "not_needed": sorted(parts["schedule"]),
    }
    temporary = temporary_name(out)
    try:
        write_tensors(
            {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in trained.items()},
            temporary / "model.safetensors",
        )
        for name, part in {"unet": network, "vae": autoencoder, "scheduler": sd15_schedule()}.items():
            part.save_pretrained(temporary / STABLE_DIFFUSION / name)
        describe(temporary, experiment, data=None)
        write_json(visual_architecture(reid.visual), temporary / "visual.json")
        (temporary / "history.csv").write_text("step,epoch,lr,id,pcl,dif,total\n")
        finish(temporary, {"data": None, "seconds": None, "converted": report})
        Run(temporary).model()  # what was written must load
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def split_parts(state: dict[str, Tensor], where) -> dict[str, dict[str, Tensor]]:
    """The tensors of an official checkpoint by part (reid, condition, unet, vae, schedule), see PREFIXES;
    `module.` in front of every name (DataParallel) is dropped. Raises ValueError naming what fits nowhere."""
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    parts: dict = {"reid": {}, "condition": {}, "unet": {}, "vae": {}, "schedule": {}}
    unknown = []
    for name, tensor in state.items():
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is None:
            unknown.append(name)
            continue
        part, _, rest = (PREFIXES[prefix] + name.removeprefix(prefix)).partition(".")
        if (part == "schedule" and rest not in SCHEDULE_NAMES) or rest.startswith("prompt_emb.condition_bottleneck"):
            unknown.append(name)
        parts[part][rest] = tensor
    if unknown:
        raise ValueError(
            f"{where} holds tensors that have no place here: {some(unknown)}. Supported are the official DCAC "
            "checkpoints of the correlation-aware scheme without camera embedding."
        )
    parts["condition"] = parts["condition"].get("prompts")
    return parts


def _identities(parts: dict, where) -> int:
    classifier, prompts = parts["reid"].get("classifier.weight"), parts["condition"]
    if classifier is None or prompts is None:
        absent = "encoder.fc.weight" if classifier is None else "denoiser.model.prompt_emb.prompt_emb"
        raise ValueError(f"{where} lacks {absent}; expected a checkpoint of the official DCAC code.")
    if (
        classifier.dim() != 2
        or prompts.dim() != 2
        or len(prompts) != len(classifier)
        or not torch.isfinite(prompts).all()
    ):
        raise ValueError(
            f"{where}: encoder.fc.weight is {list(classifier.shape)} and the prompts are {list(prompts.shape)}; "
            "expected finite numbers, one row for each identity in both (the correlation-aware scheme)."
        )
    return len(classifier)


def _architecture(reid: dict[str, Tensor], image_size: tuple[int, int], where) -> dict:
    """The image tower's sizes, read off its tensors. CLIP's heads are 64 wide."""
    try:
        width, _, patch, _ = reid["visual.conv1.weight"].shape
        output_dim = reid["visual.proj"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{where} lacks the encoder.image_encoder tensors of a CLIP image tower ({error}).") from error
    blocks = {int(m[1]) for name in reid if (m := re.match(r"visual\.transformer\.resblocks\.(\d+)\.", name))}
    return {
        "image_size": list(image_size),
        "patch_size": patch,
        "width": width,
        "layers": max(blocks, default=-1) + 1,
        "heads": width // 64,
        "output_dim": output_dim,
        "quick_gelu": True,
    }


def _sources(identities: int) -> tuple[str, ...]:
    for size in range(1, len(IDENTITIES) + 1):
        for names in combinations(IDENTITIES, size):
            if sum(IDENTITIES[name] for name in names) == identities:
                return names
    raise ValueError(
        f"{identities} identities are those of no combination of {', '.join(IDENTITIES)}; name the sources (--sources "
        "MA D)."
    )


def _peft_name(name: str) -> str:
    if match := _LORA.match(name):
        return f"{match[1]}.lora_{match[2]}.default.weight"
    return name.removesuffix("bias") + "base_layer.bias"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="an official .pth file")
    parser.add_argument("out", help="folder to write; must not exist")
    parser.add_argument(
        "--stray-biases", choices=("keep", "drop"), default="keep", help="random biases of the official LoRA layers"
    )
    parser.add_argument("--sources", nargs="+", help="what it was trained on, such as MA D MS")
    parser.set_defaults(call=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    sources = arguments.sources and tuple(arguments.sources)
    report = convert(arguments.checkpoint, arguments.out, arguments.stray_biases, sources)
    biases = report["stray_biases"]
    print(f"{arguments.out}: {report['identities']} identities; tensors: {report['tensors']}.")
    print(
        f"Stray biases: {biases['layers']} layers, {biases['numbers']:,} numbers, "
        f"{'kept' if biases['kept'] else 'left out'}."
    )
    print(f"Not needed: {', '.join(report['not_needed']) or 'nothing'}.")
