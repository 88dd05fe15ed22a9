"""Clothes in words by a vision-language model: a tiny LLaVA with random weights in the real format."""

import pytest
import torch
from PIL import Image

from dcac_lite.__main__ import main
from dcac_lite.expansion.descriptions import parse
from dcac_lite.expansion.real.reader import QUESTIONS, answered, load_reader
from dcac_lite.paths import LITE_WEIGHTS

CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% else %}{{ c['text'] }}{% endif %} {% endfor %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    folder = tmp_path_factory.mktemp("llava")
    tokenizer = AutoTokenizer.from_pretrained(LITE_WEIGHTS / "clip")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    few = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**few | {"num_hidden_layers": 2}, image_size=32, patch_size=16)
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, "bos_token_id": None}
    text = LlamaConfig(**few, **words, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    image = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    parts = {"vision_config": vision, "text_config": text}
    model = LlavaForConditionalGeneration(LlavaConfig(**parts, image_token_index=image, image_seq_length=4))
    model.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    places = {"patch_size": 16, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    LlavaProcessor(pictures, tokenizer, chat_template=CHAT, **places).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (" A Red jacket.\nIt is", "red jacket"),
        ("\n\nwhite t-shirt | blue", "white t-shirt blue"),
        ("Not visible.", ""),
        ("The shoes cannot be seen", ""),
        ("the person is wearing a long dark blue coat", ""),
        ("", ""),
    ],
)
def test_an_answer_is_a_few_words_or_nothing(text, part):
    assert answered(text) == part


def test_each_part_is_asked_for_and_written_in_the_release_s_format(llava, tmp_path, monkeypatch, capsys):
    from transformers.pipelines.image_text_to_text import ImageTextToTextPipeline

    monkeypatch.setattr("dcac_lite.expansion.real.reader._WORDS", 16)  # random weights know no end
    asked, call = [], ImageTextToTextPipeline.__call__
    monkeypatch.setattr(
        ImageTextToTextPipeline,
        "__call__",
        lambda self, text, **options: (
            asked.extend(chat[0]["content"][1]["text"] for chat in text) or call(self, text=text, **options)
        ),
    )
    for k, name in enumerate(("001/a.jpg", "002/b.jpg")):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (30, 70), (200 * k, 10, 90)).save(tmp_path / name)
    out = tmp_path / "answers"
    words = ["clothes", "describe", str(tmp_path), str(out), "--model", str(llava)]
    main(words)
    assert "2 pictures described." in capsys.readouterr().out and asked == [*QUESTIONS, *QUESTIONS]
    texts = [(out / "001" / "a.txt").read_text(), (out / "002" / "b.txt").read_text()]
    assert all(text.count("\n") == 1 and len(parse(text)) == 3 for text in texts)
    assert all(any(parse(text)) for text in texts)
    (out / "001" / "a.txt").unlink()
    main(words)
    assert "1 pictures described." in capsys.readouterr().out
    assert (out / "001" / "a.txt").read_text() == texts[0]  # nothing is sampled


def test_what_is_no_reader_is_refused_in_a_sentence(llava, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(FileNotFoundError, match="holds no model; expected what transformers saves"):
        load_reader(tmp_path)
    with pytest.raises(ValueError, match="holds no image-text-to-text model with its processor"):
        load_reader(LITE_WEIGHTS / "stable-diffusion" / "text_encoder")
    for file in llava.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(llava / "model.safetensors")
    state.pop(next(name for name in state if "lm_head" in name))
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="not whole: missing or of the wrong shape: lm_head.weight"):
        load_reader(tmp_path)
