"""The tables of the card of the lite weights: from the recipe, the shipped files and, of the evaluation, the report."""

import json

from ..lite_weights.make import LITE_RECIPE, STAGES
from ..lite_weights.report import HELD_OUT, report, weight_files
from ..paths import LITE_WEIGHTS
from ..world.captioning import caption_words
from .markdown import table

_LOSSES = {
    "clip": "contrastive, picture and caption, plus contrastive, two views of a picture",
    "vae": "squared error of pixels and of neighbours' differences, and a little KL",
    "unet": "noise prediction, one caption in ten left empty; the text encoder learns with it",
}


def _config(*path: str) -> dict:
    return json.loads(LITE_WEIGHTS.joinpath(*path).read_text())


def _models() -> str:
    clip = _config("clip", "open_clip_config.json")["model_cfg"]
    vision, text = clip["vision_cfg"], clip["text_cfg"]
    own, vae, unet = (_config("stable-diffusion", part, "config.json") for part in ("text_encoder", "vae", "unet"))
    heads = vision["width"] // vision["head_width"]
    height, width = vision["image_size"]
    size, patch = vae["sample_size"], vision["patch_size"]
    latent = size // 2 ** (len(vae["block_out_channels"]) - 1)
    channels = {name: ", ".join(map(str, part["block_out_channels"])) for name, part in (("vae", vae), ("unet", unet))}
    image = (
        f"ViT, patches of {patch} x {patch} on {height} x {width} pixels, width {vision['width']}, "
        f"{vision['layers']} layers, {heads} heads, embedding {clip['embed_dim']}"
    )
    words = f"text transformer, {text['context_length']} tokens, width {text['width']}, {text['layers']} layers"
    squeezed = f"{size} x {size} x 3 to {latent} x {latent} x {vae['latent_channels']}"
    condition = f"cross-attention width {unet['cross_attention_dim']}"
    tokens = f"{own['max_position_embeddings']} tokens, width {own['hidden_size']}, {own['num_hidden_layers']} layers"
    rows = [
        ("`clip/`", f"{image}; {words}; QuickGELU", "clip"),
        ("`stable-diffusion/vae/`", f"`AutoencoderKL`, {squeezed}, channels {channels['vae']}", "vae"),
        ("`stable-diffusion/unet/`", f"`UNet2DConditionModel`, channels {channels['unet']}, {condition}", "unet"),
        ("`stable-diffusion/text_encoder/`", f"`CLIPTextModel`, {tokens}", "unet"),
    ]
    vocabulary = f"Tokenizer: one token per word of the captions, {len(caption_words())} words."
    return table(("folder", "architecture", "stage that trains it"), rows) + f"\n\n{vocabulary}"


def _files() -> str:
    files = weight_files(LITE_WEIGHTS)
    rows = [(f"`{name}`", facts["bytes"], f"`{facts['sha256']}`") for name, facts in files.items()]
    together = sum(facts["bytes"] for facts in files.values()) / 1e6
    return table(("file", "bytes", "SHA-256"), rows) + f"\n\nTogether {together:.1f} MB."


def _data() -> str:
    r = LITE_RECIPE
    twice = round(r.two_photographs * r.people)
    rows = [
        ("people of the web", f"0 to {r.people - 1:,}", f"{r.people:,} to {HELD_OUT - 1:,}"),
        ("photographs", f"one each, and a second one of {twice:,} people", "one each"),
        ("captions", "`short`", "`full`"),
        ("text encoder", "trained with the image encoder", "its own, trained with the U-Net"),
    ]
    return table(("", "CLIP", "Stable Diffusion"), rows) + f"\n\nPeople from {HELD_OUT:,} on are held out."


def _recipe() -> str:
    rows = []
    for stage in STAGES:
        history = _config(f"history-{stage}.json")["history"]
        first, last = history[0], history[-1]
        steps, batch = (getattr(LITE_RECIPE, f"{stage}_{what}") for what in ("steps", "batch"))
        losses = f"{first['loss']:.3g} to {last['loss']:.3g}"
        rows.append((stage, _LOSSES[stage], f"{steps:,} x {batch}", round(last["seconds"] / 60), losses))
    return table(("stage", "loss", "steps x batch", "minutes", "first and last loss"), rows)


def blocks() -> dict[str, str]:
    """The blocks of `lite-weights.md` that need no measurement, by name, Markdown."""
    return {"models": _models(), "files": _files(), "data": _data(), "recipe": _recipe()}


def evaluation() -> str:
    """The block `evaluation`: `report()` as a table. Takes minutes."""
    n = report()
    found, photographs, by_colour, error = (
        n[what] for what in ("retrieval", "photographs", "photographs_by_colour", "error")
    )

    def interval(i: dict, digits: int = 4) -> str:
        return f"[{i['low']:.{digits}f}, {i['high']:.{digits}f}]"

    def above(i: dict) -> str:
        return f"{i['mean']:.4f} {interval(i)} above right"

    samples, themselves = (n[f"colour_of_{what}"] for what in ("samples", "photographs"))

    def share(of: dict) -> str:
        return f"{of['share']:.0f} % {interval(of, 0)}"

    def beside_chance(what: str, of: dict, k: int) -> tuple[str, str, str]:
        return what, f"{of[f'R{k}']:.1f} %", f"chance {of[f'chance_R{k}']:.1f} %"

    rows = [
        ("VAE reconstruction, PSNR", f"{n['psnr']:.1f} dB", f"PCA of as many numbers {n['psnr_linear']:.1f} dB"),
        beside_chance(f"CLIP: own caption first among {found['candidates']:,} distinct ones (R@1)", found, 1),
        beside_chance("... among the first five (R@5)", found, 5),
        (
            f"CLIP: a person's second photograph first among {n['pictures']:,} (R@1)",
            f"{photographs['R1']:.1f} %",
            f"colour histograms in stripes {by_colour['R1']:.1f} %; chance {photographs['chance_R1']:.1f} %",
        ),
        ("U-Net: noise-prediction error, right caption", f"{error['right']:.4f}", ""),
        ("... empty caption", f"{error['empty']:.4f}", above(n["empty_minus_right"])),
        ("... another picture's caption", f"{error['shuffled']:.4f}", above(n["shuffled_minus_right"])),
        (
            "samples (guidance 3, DDIM, 30 steps) whose torso is nearest to the colour word asked for",
            share(samples),
            f"chance {samples['chance']:.1f} %; held-out pictures themselves {share(themselves)}",
        ),
    ]
    return table(("what", "value", "for comparison"), rows)
