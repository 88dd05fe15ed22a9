"""Captions as conditions: the text encoder that a Stable Diffusion was trained with.

DCAC puts its identity prompts in this place. The chapters on diffusion ask what a caption is worth there.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .files import check_sizes, read_json, read_tensors, some
from .hub import hub_folder

#: What is fetched from the hub besides `stable_diffusion.load_stable_diffusion`'s files.
FILES = [
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
]
#: Of a text encoder in transformers' configuration.
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)


class TextEncoder:
    """`tokenizer` and `model` of a diffusers folder, both transformers' own."""

    def __init__(self, tokenizer, model: torch.nn.Module):
        self.tokenizer, self.model = tokenizer, model.requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Tensor:
        """The condition that `captions` make: the states of their tokens, padded or cut to the
        tokenizer's length L, float32 [B, L, D] on the model's device."""
        options = {
            "padding": "max_length",
            "max_length": self.tokenizer.model_max_length,
            "truncation": True,
            "return_tensors": "pt",
        }
        ids = self.tokenizer(list(captions), **options).input_ids.to(self.model.device)
        return torch.cat([self.model(part).last_hidden_state for part in ids.split(512)])


def load_text_encoder(source: str | Path, revision: str | None = None) -> TextEncoder:
    """The text encoder of a diffusers folder or hub id, in float32, found as `load_stable_diffusion` finds its parts.

    Raises FileNotFoundError when it is neither here nor reachable, and ValueError when a file is damaged
    or tensors are missing, left over or of the wrong shape."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoTokenizer, CLIPTextModel

    folder = Path(source)
    if not folder.is_dir():
        folder = hub_folder(str(source), FILES, revision)
    described, weights = folder / "text_encoder" / "config.json", folder / "text_encoder" / "model.safetensors"
    check_sizes(read_json(described), _SIZES, described)
    read_tensors(weights)  # transformers' own words for a damaged file name no file
    try:
        model, found = CLIPTextModel.from_pretrained(
            described.parent, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (StrictDataclassError, RuntimeError, ValueError, KeyError, AttributeError) as error:  # a kind, shape, name
        raise ValueError(
            f"{described} and {weights.name} make no text encoder ({type(error).__name__}: {error})."
        ) from error
    # transformers fills what is missing or does not fit with random numbers
    if wrong := sorted(
        {*found["missing_keys"], *found["unexpected_keys"], *(name for name, *_ in found["mismatched_keys"])}
    ):
        raise ValueError(
            f"The weights in {weights} do not fit the model: missing, unexpected or of the wrong shape: {some(wrong)}."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder / 'tokenizer'} holds no tokenizer ({type(error).__name__}); fetch it again."
        ) from error
    return TextEncoder(tokenizer, model.float())
