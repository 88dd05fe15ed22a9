"""Constants and initial values of the recipe:
what the tables leave unsaid and only a look at the drawn values shows."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dcac_lite import MODES, SCHEMES, Experiment, load_domain, make_condition, read_dataset
from dcac_lite import runs as runs_module
from dcac_lite.adaptation import add_stray_biases
from dcac_lite.data.registry import FOLDERS
from dcac_lite.paths import LITE_WEIGHTS
from dcac_lite.runs import Run
from dcac_lite.tiers import FULL
from dcac_lite.training import build


def is_standard_normal(values):
    """Whether mean, spread and shape of many values are those of N(0, 1)."""
    v = values.detach()
    within_one = (v.abs() < 1).float().mean()
    return abs(v.mean()) < 0.01 and abs(v.std() - 1) < 0.02 and abs(within_one - 0.6827) < 0.01


# ---------------------------------------------------------------- values of the full tier


def test_the_full_tier_has_the_constants_of_section_5_2_and_of_the_official_code():
    expected = {
        "padding": 10, "erasing": 0.5, "jitter": 0, "weight_decay": 1e-4, "identities": 16, "instances": 4, "batch": 64,
        "iterations": None,
        "warmup": 10, "milestones": (30, 50), "gamma": 0.2, "image_size": (256, 128), "diffusion_size": 128,
        "ema": False,
    }  # fmt: skip
    assert {name: getattr(FULL, name) for name in expected} == expected


# ---------------------------------------------------------------- what is drawn at the start


@pytest.mark.parametrize("scheme", SCHEMES)
def test_prompts_and_matrices_of_a_condition_start_from_n_0_1(scheme):
    torch.manual_seed(0)
    drawn = {name: p for name, p in make_condition(scheme, 751, 512, 768, 0.6).named_parameters() if p.ndim > 1}
    first = {"projection": (512, 768)} if scheme == "instance-wise" else {"prompts": (751, 768)}
    linear = {"after.2.weight": (96, 768), "after.5.weight": (768, 96)} if scheme == "condition-net" else {}
    assert {name: tuple(p.shape) for name, p in drawn.items()} == first | linear
    assert all(is_standard_normal(p) and p.requires_grad for p in drawn.values())


def test_stray_biases_are_those_of_a_linear_layer_of_that_width():
    """U(-1/sqrt(in), 1/sqrt(in)) in q, k and v of blocks as wide as Stable Diffusion's, and no other layer touched."""
    from diffusers.models.attention import BasicTransformerBlock

    torch.manual_seed(0)
    blocks = torch.nn.ModuleList(
        BasicTransformerBlock(width, 8, width // 8, cross_attention_dim=768, activation_fn="geglu")
        for width in (320, 640, 1280)
    )
    before = {name: p.clone() for name, p in blocks.named_parameters()}
    after = dict(add_stray_biases(blocks).named_parameters())
    assert all(torch.equal(after[name], p) for name, p in before.items())
    stray = {name: after[name] for name in after.keys() - before.keys()}
    layers = [
        f"{block}.{attention}.{side}"
        for block in range(3)
        for attention in ("attn1", "attn2")
        for side in ("to_q", "to_k", "to_v")
    ]
    assert stray.keys() == {f"{layer}.bias" for layer in layers}
    for name, bias in stray.items():
        from_context = "attn2" in name and "to_q" not in name
        bound = (768 if from_context else len(bias)) ** -0.5
        assert bias.abs().max() <= bound and bias.max() > 0.97 * bound and bias.min() < -0.97 * bound, name
        assert bias.std() == pytest.approx(bound / 3**0.5, rel=0.1) and abs(bias.mean()) < 0.15 * bound, name
    assert len({float(bias[0]) for bias in stray.values()}) == len(stray)  # each has draws of its own


def built(mode, recipe="default", seed=0):
    return build(Experiment(tier="smoke", adaptation=mode, recipe=recipe, seed=seed).resolved(), 24)


def from_file(part):
    return load_file(LITE_WEIGHTS / "stable-diffusion" / part / "diffusion_pytorch_model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("lora", "scratch")])
def test_under_the_official_recipe_only_lora_departs_from_the_pretrained_unet(mode):
    assert same(built(mode, "official")[0].unet.state_dict(), from_file("unet"))


def test_the_official_recipe_s_lora_is_the_pretrained_unet_but_for_biases_of_q_k_and_v():
    state = built("lora", "official")[0].unet.state_dict()
    base = {name.replace("base_layer.", ""): value for name, value in state.items() if "lora_" not in name}
    pretrained = from_file("unet")
    stray = {name: base.pop(name) for name in base.keys() - pretrained.keys()}
    assert same(base, pretrained)
    assert stray and all(
        name.endswith(("to_q.bias", "to_k.bias", "to_v.bias")) and value.any() for name, value in stray.items()
    )


def test_from_scratch_draws_a_unet_anew_and_keeps_the_vae_and_the_encoder():
    dcac, parts = built("scratch")
    assert same(parts.vae.state_dict(), from_file("vae"))
    other = built("frozen")[0]
    assert same(dcac.reid.state_dict(), other.reid.state_dict())
    new, pretrained = dcac.unet.state_dict(), from_file("unet")
    assert new.keys() == pretrained.keys()
    for name, value in new.items():
        if value.ndim > 1:  # the others begin at 0 or 1 wherever they are made
            alike = torch.cosine_similarity(value.flatten(), pretrained[name].flatten(), dim=0)
            assert value.isfinite().all() and value.std() > 0 and abs(alike) < 0.2, name
    assert same(new, built("scratch")[0].unet.state_dict())
    assert not torch.equal(new["conv_in.weight"], built("scratch", seed=1)[0].unet.state_dict()["conv_in.weight"])


# ---------------------------------------------------------------- bringing images to size


@pytest.fixture
def market(tmp_path, monkeypatch):
    """A Market1501 of two training images, a query and two gallery images, 90 x 40 pixels of noise."""
    rng = np.random.default_rng(0)
    names = {"train": ("0001_c1_0", "0002_c2_0"), "query": ("0003_c1_0",), "gallery": ("0003_c2_0", "0004_c2_0")}
    folder = tmp_path / "Market1501"
    for split, stems in names.items():
        (folder / FOLDERS[split]).mkdir(parents=True)
        for stem in stems:
            Image.fromarray(rng.integers(256, size=(90, 40, 3), dtype=np.uint8)).save(
                folder / FOLDERS[split] / f"{stem}.jpg", quality=95
            )
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    return folder


def filters(domain):
    """The filters of Pillow that explain the images of each split."""
    height, width = domain.train.images.shape[2:]
    found = {}
    for split in FOLDERS:
        part = getattr(domain, split)
        resized = {
            name: np.stack(
                [np.asarray(Image.open(f).resize((width, height), Image.Resampling[name.upper()])) for f in part.files]
            )
            for name in ("nearest", "bilinear", "bicubic", "lanczos")
        }
        found[split] = [
            name for name, images in resized.items() if np.array_equal(images.transpose(0, 3, 1, 2), part.images)
        ]
    return found


BICUBIC = {split: ["bicubic"] for split in FOLDERS}
OFFICIAL = BICUBIC | {"query": ["bilinear"], "gallery": ["bilinear"]}


def test_images_are_resized_bicubically_and_those_of_the_test_as_asked(market):
    assert filters(read_dataset(market, (64, 32))) == BICUBIC
    assert filters(read_dataset(market, (64, 32), test_resize="bilinear")) == OFFICIAL
    assert filters(read_dataset(market, (64, 32))) == BICUBIC  # what was kept for the other filter is not taken
    assert filters(load_domain("MA", "full")) == BICUBIC and filters(load_domain("MA", "full", "bilinear")) == OFFICIAL


@pytest.mark.parametrize(
    ("recipe", "sources", "expected"),
    [
        ("official", ["MA"], OFFICIAL),
        ("official", ["MA", "C3"], BICUBIC),
        ("default", ["MA"], BICUBIC),
        ("default", ["MA", "C3"], BICUBIC),
        ("paper", ["MA"], BICUBIC),
    ],
)
def test_an_evaluation_resizes_as_its_recipe_and_number_of_sources_say(
    market, tmp_path, monkeypatch, recipe, sources, expected
):
    experiment = Experiment(tier="full", sources=sources, conditioning="none", recipe=recipe).resolved()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"experiment": asdict(experiment)}))
    measured = []
    monkeypatch.setattr(Run, "reid", lambda run: torch.nn.Identity())
    monkeypatch.setattr(
        runs_module, "evaluate", lambda reid, domain, **options: measured.append(domain) or {"mAP": 1.0}
    )
    run = Run(tmp_path / "run")
    assert run.evaluate("MA", market)["mAP"].tolist() == [1.0, 1.0]
    assert [filters(domain) for domain in measured] == [expected, expected]
    assert [experiment.test_resize] == expected["query"]
