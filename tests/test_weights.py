"""The shipped weights do what their card says, and load as real ones would."""

import json
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from dcac_lite.lite_weights.clip import CONTEXT_LENGTH, two_view_loss
from dcac_lite.lite_weights.fitting import fit
from dcac_lite.lite_weights.make import LITE_RECIPE, SMOKE_RECIPE, STAGES, pretrain, web_images
from dcac_lite.lite_weights.pieces import ALL, CHANGES, SHORT, pretrained
from dcac_lite.lite_weights.report import photograph_retrieval, report, torso_mask, weight_files
from dcac_lite.lite_weights.views import random_view
from dcac_lite.paths import LITE_WEIGHTS
from dcac_lite.pretrained.captions import load_text_encoder
from dcac_lite.tiers import LITE


@pytest.fixture(scope="module")
def numbers():
    return report(count=200, each=4)


def test_reconstructions_reach_24_decibels(numbers):
    assert numbers["psnr"] > 24


def test_a_full_caption_helps_the_denoiser(numbers):
    assert numbers["shuffled_minus_right"]["low"] > 0 and numbers["empty_minus_right"]["low"] > 0


def test_captions_are_found_far_above_chance(numbers):
    retrieval = numbers["retrieval"]
    assert retrieval["R1"] > 20 * retrieval["chance_R1"]


def test_clip_knows_something_of_identity_and_leaves_something_to_learn(numbers):
    photographs = numbers["photographs"]
    assert 5 * photographs["chance_R1"] < photographs["R1"] < 80


def test_samples_wear_the_colour_of_their_caption(numbers):
    colour = numbers["colour_of_samples"]
    assert colour["low"] > 3 * colour["chance"]


def test_weights_are_small():
    assert sum(f["bytes"] for f in weight_files(LITE_WEIGHTS).values()) < 20e6


@pytest.mark.parametrize("stage", STAGES)
def test_the_shipped_weights_are_those_of_the_recipe(stage):
    assert json.loads((LITE_WEIGHTS / f"history-{stage}.json").read_text())["recipe"] == LITE_RECIPE.of(stage)


def test_stable_diffusion_reads_captions_with_an_encoder_of_its_own():
    captions = ["a person in a red jacket , street", ""]
    clip = open_clip.create_model(f"local-dir:{LITE.clip}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{LITE.clip}")(captions)
    with torch.no_grad():
        x = clip.token_embedding(tokens) + clip.positional_embedding
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
    own = load_text_encoder(LITE.stable_diffusion)(captions)
    assert own.shape == x.shape and not torch.allclose(x, own, atol=1e-2)


@pytest.mark.parametrize("writer", ["short", "full"])
def test_every_caption_fits_the_context(writer):
    longest = max(len(c.split()) for c in web_images(0, 300, writer=writer)[1])
    assert longest + 2 <= CONTEXT_LENGTH


# ---------------------------------------------------------------- how they are made


def test_the_recipe_runs_and_a_finished_stage_is_kept(tmp_path):
    few = {"people": 48, "clip_steps": 2, "clip_batch": 16, "diffusion_people": 32}
    recipe = replace(SMOKE_RECIPE, **few, vae_steps=2, vae_batch=8, unet_steps=2, unet_batch=8)
    history = pretrain(tmp_path, recipe)
    assert {h["stage"] for h in history} == {"clip", "vae", "unet"} and all(np.isfinite(h["loss"]) for h in history)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert pretrain(tmp_path, recipe) == history
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} and len(before) == 4
    assert not list(tmp_path.rglob("partial*"))


def test_an_interrupted_fit_goes_on_to_the_same_weights(tmp_path):
    def fitted(name: str, killed_at: int | None = None) -> tuple[torch.Tensor, list]:
        torch.manual_seed(0)  # a new process builds its model again, and then finds the state
        layer = torch.nn.Linear(4, 3)

        def loss_of_step(generator: torch.Generator, step: int) -> torch.Tensor:
            if step == killed_at:
                raise KeyboardInterrupt
            return (layer(torch.randn(8, 4, generator=generator)) - 1).square().mean()

        history = fit(layer, 200, 1e-2, 10, loss_of_step, "line", tmp_path / f"{name}.pt")
        return layer.weight.detach(), [(entry["step"], entry["loss"]) for entry in history]

    whole, its_history = fitted("whole")
    with pytest.raises(KeyboardInterrupt):
        fitted("killed", killed_at=131)  # between two savings
    again, history = fitted("killed")
    assert torch.equal(again, whole) and history == its_history and len(history) == 100


def test_views_of_a_picture_find_each_other():
    e = torch.eye(4)
    assert two_view_loss(torch.cat([e, e])) < 0.01 < two_view_loss(torch.cat([e, e.roll(1, 0)]))
    x = torch.zeros(3, 3, 64, 32)
    one, other = (random_view(x, torch.Generator().manual_seed(k)) for k in (0, 1))
    assert one.shape == x.shape and not torch.equal(one, other) and one.abs().max() <= 1


def test_a_second_photograph_is_ranked_among_all():
    features = torch.eye(3) + 0.1
    assert photograph_retrieval(features, 2 * features)["R1"] == 100
    assert photograph_retrieval(features, features.roll(1, 0))["R1"] == 0


def test_the_weights_beat_methods_that_learn_nothing_of_pictures(numbers):
    assert 10 < numbers["psnr_linear"] < numbers["psnr"]
    assert 2 * numbers["photographs_by_colour"]["R1"] < numbers["photographs"]["R1"]


def test_the_torso_is_in_the_middle_above_the_waist():
    rows, columns = np.nonzero(torso_mask())
    assert len(rows) > 30 and 7 <= rows.min() and rows.max() <= 17 and 8 <= columns.min() and columns.max() <= 23


# ---------------------------------------------------------------- what its pieces are worth


def test_views_of_no_strength_are_only_mirrored():
    x = torch.rand(8, 3, 64, 32) * 2 - 1
    views = random_view(x, torch.Generator().manual_seed(0), strength=0.0)
    straight, mirrored = ((views - y).abs().amax((1, 2, 3)) < 1e-4 for y in (x, x.flip(3)))
    assert (straight | mirrored).all() and straight.any() and mirrored.any()


def test_each_piece_changes_what_pre_training_makes(tmp_path, monkeypatch):
    """Of every change that the table compares with all pieces, other weights come out, if after two steps only."""
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    small = {"clip_steps": 2, "clip_batch": 12}
    made = {}
    for name, change in CHANGES.items():
        people = 24 if change.recipe.people < SHORT.people else 48
        changed = replace(change, recipe=replace(change.recipe, people=people, **small))
        monkeypatch.setitem(CHANGES, name, changed)
        made[name] = load_file(pretrained(name, seed=0) / "open_clip_model.safetensors")["visual.proj"]
    assert len({tuple(proj.flatten().tolist()) for proj in made.values()}) == len(CHANGES)
    again = pretrained(ALL, seed=0) / "open_clip_model.safetensors"
    assert torch.equal(load_file(again)["visual.proj"], made[ALL])
