"""The text encoder of a Stable Diffusion folder as it is published: strict, in float32, and named when it is wrong."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from dcac_lite.pretrained.captions import FILES, load_text_encoder

WORDS = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "ab</w>", "<|startoftext|>", "<|endoftext|>"]


@pytest.fixture
def published(tmp_path):
    """A miniature with the files, keys and formats of Stable Diffusion 1.5's own folder."""
    folder = tmp_path / "stable-diffusion-v1-5"
    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=8,
        eos_token_id=9,
        pad_token_id=9,
    )
    torch.manual_seed(0)
    model = CLIPTextModel(config)
    model.save_pretrained(folder / "text_encoder")
    weights = folder / "text_encoder" / "model.safetensors"
    state = {
        name if name.startswith("text_model.") else f"text_model.{name}": t for name, t in load_file(weights).items()
    }
    # versions of transformers of that time kept a buffer among the weights
    save_file(state | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, weights, {"format": "pt"})
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (tokenizer / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(WORDS)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\na b\na b</w>\n")
    (tokenizer / "special_tokens_map.json").write_text(json.dumps(special))
    (tokenizer / "tokenizer_config.json").write_text(
        json.dumps(special | {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True})
    )
    return folder, model.eval()


def test_the_published_format_is_read(published, monkeypatch):
    folder, model = published
    assert all((folder / name).is_file() for name in FILES)
    monkeypatch.setenv("DCAC_WEIGHTS", str(folder.parent))
    encode = load_text_encoder(
        "stable-diffusion-v1-5/stable-diffusion-v1-5"
    )  # the hub's id; the folder is found by its name
    states = encode(["ab c", "", "c " * 200])
    assert states.shape == (3, 77, 16) and states.dtype == torch.float32
    ids = torch.tensor([[8, 7, 5, *[9] * 74], [8, *[9] * 76]])
    with torch.no_grad():
        assert torch.allclose(states[:2], model(ids).last_hidden_state, atol=1e-5)


def test_what_is_missing_is_named_with_the_command_that_brings_it(published, monkeypatch):
    folder, _ = published
    monkeypatch.setenv("DCAC_WEIGHTS", str(folder.parent))
    (folder / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks tokenizer/merges.txt: run `hf download stable-diffusion-v1-5/.*merges.txt"
    ):
        load_text_encoder("stable-diffusion-v1-5/stable-diffusion-v1-5")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "truncated", "no tokenizer"])
def test_what_does_not_fit_is_an_error_that_names_it(published, change):
    folder, _ = published
    weights = folder / "text_encoder" / "model.safetensors"
    state, name = load_file(weights), "text_model.encoder.layers.1.mlp.fc2.weight"
    expected = {"truncated": "model.safetensors is damaged", "no tokenizer": "tokenizer holds no tokenizer"}.get(
        change, "mlp.fc2"
    )
    if change == "missing":
        del state[name]
    elif change == "unexpected":
        state["text_model.encoder.layers.7.mlp.fc2.weight"] = torch.zeros(3)
    elif change == "shape":
        state[name] = torch.zeros(5, 5)
    if change == "truncated":
        weights.write_bytes(weights.read_bytes()[:900])
    elif change == "no tokenizer":
        (folder / "tokenizer").rename(folder / "elsewhere")
    else:
        save_file(state, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=expected):
        load_text_encoder(folder)
