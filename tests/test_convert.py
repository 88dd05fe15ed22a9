"""The authors' checkpoints become runs: every tensor in its place, the same numbers out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from official_checkpoint import ADAPTED, STRAY, UNET, VAE, official_state, small_parts, unet_to_ldm

from dcac_lite.__main__ import main
from dcac_lite.release.convert import IDENTITIES, _sources, convert
from dcac_lite.runs import COMPLETE, RECORDS, Run
from dcac_lite.tiers import SMOKE, TIERS

RANK = 3


@pytest.fixture(scope="module")
def parts():
    return small_parts()


@pytest.fixture(scope="module")
def official(parts):
    return official_state(*parts, rank=RANK)


@pytest.fixture(scope="module")
def converted(official, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    torch.save(official, folder / "source_ma.pth")
    made = {}
    for choice in ("keep", "drop"):
        report = convert(folder / "source_ma.pth", folder / choice, choice, ("MA",), "smoke", UNET, VAE)
        made[choice] = (folder / choice, report, Run(folder / choice).model())
    return made


@pytest.fixture
def noisy():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, 4, 8, 8, generator=generator),
        torch.tensor([3, 700]),
        torch.randn(2, 4, 16, generator=generator),
    )


def merged(unet, official, biases: bool):
    """The U-Net that loralib's layers compute: W + B A / r, and the stray biases."""
    from diffusers import UNet2DConditionModel

    network = UNet2DConditionModel(**UNET)
    network.load_state_dict(unet.state_dict())
    for name, layer in network.named_modules():
        if ADAPTED.match(name):
            there = "denoiser.model." + unet_to_ldm(name + ".weight").removesuffix(".weight")
            layer.weight.data += official[f"{there}.lora_B"] @ official[f"{there}.lora_A"] / RANK
            if biases and STRAY.match(name):
                layer.bias = torch.nn.Parameter(official[f"{there}.bias"])
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("choice", ["keep", "drop"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_the_converted_unet_computes_what_loralib_s_does(parts, official, converted, noisy, choice, tokens):
    latents, timesteps, context = noisy
    expected = merged(parts[1], official, choice == "keep")(latents, timesteps, context[:, :tokens]).sample
    computed = converted[choice][2].unet(latents, timesteps, context[:, :tokens]).sample
    assert (computed - expected).abs().max() < 1e-4 * expected.abs().max()
    plain = parts[1](latents, timesteps, context[:, :tokens]).sample
    assert (plain - expected).abs().max() > 0.01 * expected.abs().max()


@torch.no_grad()
def test_without_biases_and_with_b_zero_it_is_the_plain_unet(parts, noisy, tmp_path):
    torch.save(official_state(*parts, rank=RANK, zero=True), tmp_path / "zero.pth")
    latents, timesteps, context = noisy
    plain = parts[1](latents, timesteps, context).sample
    difference = {}
    for choice in ("drop", "keep"):
        convert(tmp_path / "zero.pth", tmp_path / choice, choice, ("MA",), "smoke", UNET, VAE)
        difference[choice] = (
            (Run(tmp_path / choice).model().unet(latents, timesteps, context).sample - plain).abs().max()
        )
    assert difference["drop"] < 1e-4 and difference["keep"] > 0.001


def test_a_converted_run_needs_no_weights_of_others(converted, monkeypatch, tmp_path):
    monkeypatch.setitem(TIERS, "smoke", replace(SMOKE, clip=tmp_path / "none", stable_diffusion=tmp_path / "none"))
    run = Run(converted["keep"][0])
    assert torch.equal(run.reid().classifier.weight, run.model().reid.classifier.weight)


@torch.no_grad()
def test_features_are_the_original_model_s(parts, official, converted):
    images = torch.randint(0, 256, (5, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    f = parts[0](images / 255 * 2 - 1)

    def g(name):
        return official[f"encoder.bnneck.{name}"]

    expected = F.normalize((f - g("running_mean")) / (g("running_var") + 1e-5).sqrt() * g("weight") + g("bias"))
    assert torch.allclose(converted["keep"][2].reid.features(images), expected, atol=1e-5)


@torch.no_grad()
def test_vae_prompts_and_classifier_arrive(parts, official, converted):
    from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion

    folder, _, dcac = converted["keep"]
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    vae = load_stable_diffusion(folder / "stable-diffusion", 64).vae
    assert torch.equal(vae.encode(image).latent_dist.parameters, parts[2].encode(image).latent_dist.parameters)
    assert torch.equal(
        vae.decode(image[:, :, :8, :8].repeat(1, 2, 1, 1)[:, :4]).sample,
        parts[2].decode(image[:, :, :8, :8].repeat(1, 2, 1, 1)[:, :4]).sample,
    )
    assert torch.equal(dcac.condition.prompts, official["denoiser.model.prompt_emb.prompt_emb"])
    assert torch.equal(dcac.reid.classifier.weight, official["encoder.fc.weight"])


def test_a_converted_run_is_evaluated_as_any_other(converted):
    run = Run(converted["keep"][0])
    table = run.evaluate("C3")
    assert 0 < table["mAP"][0] < 100 and run.experiment.recipe == "official" and run.experiment.rank == RANK
    assert Run(converted["drop"][0]).experiment.recipe == "default"


def test_a_converted_run_has_the_records_of_any_other(converted):
    folder, report, _ = converted["keep"]
    run = Run(folder)
    assert {*RECORDS, COMPLETE, "model.safetensors"} <= {file.name for file in folder.iterdir()}
    assert run.provenance["converted"] == report and run.provenance["versions"]["torch"]
    assert len(run.history) == 0 and "total" in run.history
    assert torch.equal(run.reid().neck.running_mean, run.model().reid.neck.running_mean)


def test_the_report_counts_the_stray_biases(converted):
    kept, dropped = (converted[choice][1]["stray_biases"] for choice in ("keep", "drop"))
    assert kept["layers"] == dropped["layers"] == 16 * 2 * 3 and kept["kept"] and not dropped["kept"]
    state = converted["keep"][2].unet.state_dict()
    assert kept["numbers"] == sum(
        t.numel() for n, t in state.items() if n.endswith("base_layer.bias") and "attn" in n and "to_out" not in n
    )
    assert converted["keep"][1]["not_needed"] == ["alphas_cumprod", "betas"]


def test_every_combination_of_sources_is_told_by_its_identities():
    assert _sources(751) == ("MA",) and _sources(702 + 1041 + 767) == ("D", "MS", "C3")
    assert (
        len(
            {
                _sources(sum(IDENTITIES[n] for n in names))
                for names in (("MA",), ("D",), ("MS",), ("C3",), ("MA", "D", "MS"))
            }
        )
        == 5
    )


def spoiled(state, what):
    """A checkpoint with one thing wrong, and what the refusal must name."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    ln, q = "encoder.image_encoder.ln_post.weight", "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    unet, vae = "denoiser.model.", "denoiser.autoencoder."
    changes = {
        "encoder tensor missing": (lambda: state.pop(ln), "visual.ln_post.weight"),
        "encoder tensor renamed": (lambda: state.update({ln + "s": state.pop(ln)}), "ln_post.weights"),
        "encoder of a wrong shape": (lambda: state.update({ln: torch.ones(65)}), r"\[65\] instead of \[64\]"),
        "encoder not finite": (lambda: state[ln].fill_(torch.nan), "NaN or infinity in visual.ln_post.weight"),
        "encoder of integers": (lambda: state.update({ln: torch.ones(64, dtype=torch.int64)}), "int64 instead of"),
        "a block missing": (lambda: [state.pop(n) for n in list(state) if "resblocks.0." in n], "resblocks.0"),
        "no encoder": (lambda: [state.pop(n) for n in list(state) if n.startswith("encoder.image_encoder")],
                       "image_encoder"),
        "camera embedding": (lambda: state.update({"encoder.cam_emb": torch.ones(6, 64)}), "encoder.cam_emb"),
        "no neck": (lambda: state.pop("encoder.bnneck.running_var"), "neck.running_var"),
        "no classifier": (lambda: state.pop("encoder.fc.weight"), "encoder.fc.weight"),
        "no prompts": (lambda: state.pop(unet + "prompt_emb.prompt_emb"), "prompt_emb"),
        "too few prompts": (lambda: state.update({unet + "prompt_emb.prompt_emb": torch.ones(5, 16)}), r"\[5, 16\]"),
        "prompts of a wrong width": (lambda: state.update({unet + "prompt_emb.prompt_emb": torch.ones(6, 17)}),
                                     "condition.prompts"),
        "prompts not finite": (lambda: state[unet + "prompt_emb.prompt_emb"].fill_(torch.inf), "finite"),
        "a condition net": (
            lambda: state.update({unet + "prompt_emb.condition_bottleneck.bottleneck.0.weight": torch.ones(16)}),
            "condition_bottleneck",
        ),
        "U-Net tensor missing": (lambda: state.pop(unet + q + ".weight"), "to_q.weight"),
        "U-Net tensor left over": (lambda: state.update({unet + "label_emb.weight": torch.ones(3)}),
                                   "label_emb.weight"),
        "U-Net of a wrong shape": (lambda: state.update({unet + "out.2.bias": torch.ones(5)}), "conv_out.bias"),
        "U-Net not finite": (lambda: state[unet + "out.2.bias"].fill_(torch.inf), "conv_out.bias"),
        "an adapter half missing": (lambda: state.pop(unet + q + ".lora_B"), "to_q.lora_B"),
        "an adapter of another rank": (lambda: state.update({unet + q + ".lora_A": torch.ones(5, 32)}),
                                       r"ranks \[3, 5\]"),
        "an adapter not finite": (lambda: state[unet + q + ".lora_A"].fill_(torch.nan), "to_q.lora_A"),
        "a bias missing": (lambda: state.pop(unet + q + ".bias"), "to_q.base_layer.bias"),
        "no adapters": (lambda: [state.pop(n) for n in list(state) if ".lora_" in n], "ranks"),
        "VAE tensor missing": (lambda: state.pop(vae + "quant_conv.bias"), "quant_conv.bias"),
        "VAE tensor left over": (lambda: state.update({vae + "loss.logvar": torch.ones(1)}), "loss.logvar"),
        "VAE of a wrong shape": (lambda: state.update({vae + "encoder.conv_in.bias": torch.ones(3)}),
                                 "encoder.conv_in.bias"),
        "another schedule": (lambda: state["denoiser.betas"].mul_(2), "betas"),
        "a stranger": (lambda: state.update({"teacher.weight": torch.ones(2)}), "teacher.weight"),
        "nothing official": (lambda: state.clear() or state.update({"a": torch.ones(1)}), "no place here: a"),
    }  # fmt: skip
    if state and what in changes:
        changes[what][0]()
        return state, changes[what][1]
    return changes


@pytest.mark.parametrize("what", spoiled({}, None))
def test_a_spoiled_checkpoint_is_refused_by_name(official, tmp_path, what):
    state, named = spoiled(official, what)
    torch.save(state, tmp_path / "spoiled.pth")
    with pytest.raises(ValueError, match=named) as refusal:
        convert(tmp_path / "spoiled.pth", tmp_path / "out", "keep", ("MA",), "smoke", UNET, VAE)
    assert "\n" not in str(refusal.value)
    assert [p.name for p in tmp_path.iterdir()] == ["spoiled.pth"]


def test_unknown_number_of_identities_asks_for_the_sources(official, tmp_path):
    torch.save(official, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="--sources"):
        convert(tmp_path / "a.pth", tmp_path / "out", tier="smoke", unet=UNET, vae=VAE)
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        convert(tmp_path / "a.pth", tmp_path / "out", tier="smoke", unet=UNET, vae=VAE)


def test_a_damaged_converted_folder_is_refused(converted, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(converted["keep"][0], folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 64  # one bit of one number
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        Run(folder).model()
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("smoke", "lite"))
    with pytest.raises(ValueError, match="config.json is not as it was when the run was finished"):
        Run(folder)


def test_the_command_ends_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(tmp_path / "missing.pth"), str(tmp_path / "out")])
    (line,) = capsys.readouterr().err.splitlines()
    assert "missing.pth does not exist" in line


def test_parallel_and_lightning_wrappings_are_opened(official, converted, tmp_path):
    torch.save(
        {
            "state_dict": {f"module.{n}": t.half() if t.is_floating_point() else t for n, t in official.items()},
            "epoch": 60,
        },
        tmp_path / "w.pth",
    )
    convert(tmp_path / "w.pth", tmp_path / "out", "keep", ("MA",), "smoke", UNET, VAE)
    half, full = (
        m.reid.classifier.weight.detach().numpy() for m in (Run(tmp_path / "out").model(), converted["keep"][2])
    )
    assert half.dtype == np.float32 and np.allclose(half, full, rtol=1e-3, atol=1e-3)
