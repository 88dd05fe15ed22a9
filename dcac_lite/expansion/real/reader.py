"""Clothes in words by a vision-language model (DLCR, Sec. 3.1): any that transformers runs as `image-text-to-text`.

DLCR asks LLaVA one open question and has a language model summarise the answers. Here each part of the body has a
question of its own, and what is short and not a refusal is the answer, so that a majority over an outfit's pictures
(`words.outfits_in_words`, as DLCR's text has it) needs no second model."""

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ...data.decoding import open_image
from ...data.listing import SUFFIXES
from ...device import compute_device
from ...paths import replacing
from ...pretrained.files import read_json, some
from ...progress import line
from ..descriptions import PARTS, Description

_WHERE = dict(zip(PARTS, ("on the upper body", "on the legs", "on the feet")))
QUESTIONS = tuple(
    f"What does the person wear {where}? Name one colour and one garment in two or three words, or say: not visible."
    for where in _WHERE.values()
)
_TOKENS = 16  # of an answer
_WORDS = 5  # more are a sentence, which no majority can count
_UNSEEN = re.compile(r"\b(not|no|none|nothing|unknown|cannot|can't|unclear)\b")


def answered(text: str) -> str:
    """A model's answer as a part of a description: its first line in lower case without article, stop and bar; "" for
    one that says that nothing can be seen, and for more than five words."""
    first = next((row for row in text.lower().splitlines() if row.strip()), "")
    words = re.sub(r"[^\w\s'-]", " ", first).split()
    words = words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words
    said = " ".join(words)
    return "" if len(words) > _WORDS or _UNSEEN.search(said) else said


def load_reader(folder: Path) -> Callable[[Image.Image], Description]:
    """A function of a picture that gives its description, by the model and processor in `folder` as transformers saves
    them, on the computing device, without sampling.

    Raises FileNotFoundError where there is no model, ValueError for one of another kind, or whose weights are not
    whole."""
    from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model; expected what transformers saves, config.json and more.")
    read_json(folder / "config.json")
    try:
        model, found = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, dtype="auto")
        processor = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{folder} holds no image-text-to-text model with its processor ({reason}).") from error
    if wrong := sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}):
        raise ValueError(f"The weights in {folder} are not whole: missing or of the wrong shape: {some(wrong)}.")
    read = pipeline("image-text-to-text", model=model.eval(), processor=processor, device=compute_device())
    options = {"max_new_tokens": _TOKENS, "do_sample": False}

    def describe(picture: Image.Image) -> Description:
        chats = [
            [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": question}]}]
            for question in QUESTIONS
        ]
        answers = read(text=chats, return_full_text=False, generate_kwargs=options)
        return Description(*(answered(each[0]["generated_text"]) for each in answers))

    return describe


def describe_files(pictures: Path, out: Path, folder: Path) -> int:
    """Write `out`/NAME.txt, a line upper | lower | footwear, for every picture below `pictures`; returns how many were
    described now. What is there is left alone. Raises FileNotFoundError for no picture, and as `load_reader`."""
    files = sorted(f for f in pictures.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"There are no pictures in {pictures}; expected PERSON/NAME.jpg.")
    places = {file: (out / file.relative_to(pictures)).with_suffix(".txt") for file in files}
    waiting, describe = [file for file in files if not places[file].is_file()], load_reader(folder)
    for file in line(waiting, "describing"):
        said = describe(open_image(file))
        with replacing(places[file]) as temporary:
            temporary.write_text(f"{said}\n", encoding="utf-8")
    return len(waiting)
