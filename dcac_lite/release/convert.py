"""The authors' released checkpoints (`source_ma.pth`, `source_d+ms+c3.pth`, ...) as runs of this package:

python -m dcac_lite convert source_ma.pth runs/full/official-ma [--stray-biases keep|drop]
"""

import argparse
import json
import os
import re
import shutil
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from ..adaptation import adapt, add_stray_biases
from ..conditioning import make_condition
from ..dcac import DCAC
from ..diffusion import use_one_token_attention
from ..encoder import ReIDModel
from ..experiment import Experiment
from ..memory import PrototypeMemory
from ..paths import temporary_name
from ..pretrained.clip import build_visual, visual_architecture
from ..pretrained.files import check_fit, file_sha256, load_exactly, read_json, read_tensors, some, write_tensors
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
from ..pretrained.stable_diffusion import load_stable_diffusion
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
_STRAY = re.compile(r".+\.attn[12]\.to_[qkv]\.bias$")


def convert(
    checkpoint: str | Path,
    out: str | Path,
    stray_biases: str = "keep",
    sources: tuple[str, ...] | None = None,
    tier: str = "full",
    unet: dict = SD15_UNET,
    vae: dict = SD15_VAE,
) -> dict:
    """Write the official checkpoint as a run folder and return a report of what became of its tensors.

    `out` gets config.json, model.safetensors (encoder, neck, classifier, prompts, adapters) and
    stable-diffusion/, a diffusers folder with the U-Net below the adapters and the VAE. `Run(out)` and
    `load_converted(out)` open it. Adapters are scaled by 1/r (alpha 1, as the official configurations say).

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
    biases = {name: tensor for name, tensor in parts["unet"].items() if _STRAY.match(name)}
    base = {name: tensor for name, tensor in parts["unet"].items() if name not in adapters and name not in biases}
    network = build_unet(base, unet, checkpoint)
    autoencoder = build_vae(parts["vae"], vae, checkpoint)
    added = adapters | biases if stray_biases == "keep" else adapters
    trained = {
        f"unet.{_peft_name(name)}": tensor
        for name, tensor in unet_names(base | added, network.config, checkpoint).items()
        if _LORA.match(name) or _STRAY.match(name)
    }
    trained |= {f"reid.{name}": tensor for name, tensor in reid.state_dict().items()} | {
        "condition.prompts": parts["condition"]
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
        "visual": visual_architecture(reid.visual),
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
            part.save_pretrained(temporary / "stable-diffusion" / name)
        text = json.dumps({"experiment": asdict(experiment), "data": None, "converted": report}, indent=1)
        (temporary / "config.json").write_text(text)
        load_converted(temporary)  # what was written must load
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def load_converted(folder: str | Path) -> DCAC:
    """The model of a folder that `convert` wrote, in evaluation mode; `.reid` is the Re-ID model alone."""
    folder = Path(folder)
    config = read_json(folder / "config.json")
    try:
        experiment, report = config["experiment"], config["converted"]
        tier, rank, tau_c, tau = TIERS[experiment["tier"]], experiment["rank"], experiment["tau_c"], experiment["tau"]
        identities, kept = report["identities"], report["stray_biases"]["kept"]
        reid = ReIDModel(build_visual(report["visual"]), identities)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'config.json'} is no description of a converted checkpoint ({error!r}); convert it again."
        ) from error
    diffusion = load_stable_diffusion(folder / "stable-diffusion", tier.diffusion_size)
    unet = add_stray_biases(diffusion.unet) if kept else diffusion.unet
    elsewhere = {id(parameter) for name, parameter in unet.named_parameters() if not _STRAY.match(name)}
    unet = adapt(unet, "lora", rank)
    width = reid.classifier.in_features
    condition = make_condition("correlation-aware", identities, width, unet.config.cross_attention_dim, tau_c)
    dcac = DCAC(
        reid,
        PrototypeMemory(identities, width, tau, tier.gamma),
        condition,
        use_one_token_attention(unet),
        diffusion.scheduler,
        experiment["lambda_"],
    )
    known = {name for name, parameter in dcac.named_parameters() if id(parameter) in elsewhere}
    expected = {
        name: tensor
        for name, tensor in dcac.state_dict().items()
        if name not in known and not name.startswith("memory.")
    }
    state = read_tensors(folder / "model.safetensors")
    check_fit(expected, state, folder / "model.safetensors")
    dcac.load_state_dict(state, strict=False)
    return dcac.eval()


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
