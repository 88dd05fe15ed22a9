"""The shipped weights do what their card says, and load as real ones would."""

import numpy as np
import pytest
import torch

from dcac_lite.lite_weights.make import CONTEXT_LENGTH, SMOKE_RECIPE, pretrain, web_images
from dcac_lite.lite_weights.report import report, weight_files
from dcac_lite.paths import CLONE, LITE_WEIGHTS
from dcac_lite.pretrained.captions import load_text_encoder
from dcac_lite.tiers import LITE
from dcac_lite.world.domains import DOMAINS


@pytest.fixture(scope="module")
def numbers():
    return report(count=300, each=6)


def test_reconstructions_reach_24_decibels(numbers):
    assert numbers["psnr"] > 24


def test_the_right_caption_helps_the_denoiser(numbers):
    assert numbers["shuffled_minus_right"]["low"] > 0 and numbers["empty_minus_right"]["low"] > 0


def test_captions_are_found_far_above_chance(numbers):
    retrieval = numbers["retrieval"]
    assert retrieval["R1"] > 20 * retrieval["chance_R1"]


def test_samples_wear_the_colour_of_their_caption(numbers):
    colour = numbers["colour_of_samples"]
    assert colour["low"] > 3 * colour["chance"]


def test_weights_are_small_and_the_card_names_them():
    files = weight_files(LITE_WEIGHTS)
    assert sum(f["bytes"] for f in files.values()) < 20e6
    card = (CLONE / "data_cards" / "lite-weights.md").read_text()
    for name, facts in files.items():
        assert name in card and facts["sha256"] in card


def test_domain_card_has_the_counts_of_the_code():
    card = (CLONE / "data_cards" / "lite-domains.md").read_text()
    for spec in DOMAINS.values():
        for number in (spec.train, spec.query, spec.gallery):
            assert f"{number:,}" in card or str(number) in card, f"{spec.name}: {number}"


def test_text_encoder_of_the_pipeline_is_clip_s_own():
    import open_clip

    captions = ["a person in a red jacket , street", ""]
    clip = open_clip.create_model(f"local-dir:{LITE.clip}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{LITE.clip}")(captions)
    with torch.no_grad():
        x = clip.token_embedding(tokens) + clip.positional_embedding
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
    assert torch.allclose(x, load_text_encoder(LITE.stable_diffusion)(captions), atol=1e-5)


def test_every_caption_fits_the_tokenizer():
    longest = max(len(c.split()) for c in web_images(0, 300)[1])
    assert longest + 2 <= CONTEXT_LENGTH


def test_the_recipe_runs_and_a_finished_stage_is_kept(tmp_path):
    history = pretrain(tmp_path, SMOKE_RECIPE)
    assert {h["stage"] for h in history} == {"clip", "vae", "unet"} and all(np.isfinite(h["loss"]) for h in history)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert pretrain(tmp_path, SMOKE_RECIPE) == history
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} and len(before) == 4
