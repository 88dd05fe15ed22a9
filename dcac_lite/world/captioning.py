"""What people would write beside a picture: the only thing that pre-training is told about it.

Two kinds of writer. A `short` caption names the upper garment's colour and little else, as the text beside most web
pictures does; the small CLIP reads those. A `full` one names most of what can be seen; the small Stable Diffusion
reads those, which is one part of the knowledge gap between the two (the real one: LAION-2B and a larger text encoder
against the 400 million pairs of CLIP)."""

from dataclasses import dataclass

import numpy as np

from .appearance import BAGS, BOTTOMS, COLOURS, HAIR_STYLES, PATTERNS, TOPS, Appearance
from .scenes import KINDS

_VIEW_WORDS = {"front": "from the front", "back": "from behind", "side": "from the side"}


@dataclass(frozen=True)
class Writer:
    """Probabilities that a caption names a thing, where it is there and can be seen."""

    pattern: float
    bottom: float
    view: float
    scene: float
    background: float
    bag: float
    small: float  # shoes, hair, hat, belt, scarf, prints, sleeves, each


WRITERS: dict[str, Writer] = {
    "short": Writer(pattern=0.5, bottom=0.7, view=0.4, scene=0.7, background=0.6, bag=0.4, small=0.2),
    "full": Writer(pattern=0.8, bottom=0.9, view=0.6, scene=0.7, background=0.6, bag=0.8, small=0.5),
}


def caption_of(
    person: Appearance, view: str, scene: str, background: str, writer: Writer, rng: np.random.Generator
) -> str:
    """A caption of a person seen from `view` in a place (a word of scenes.KINDS) with a background colour."""

    def told(share: float) -> bool:
        return rng.random() < share

    top, bottom = person.top, person.bottom
    pattern = f"{top.pattern} " if top.pattern != "plain" and told(writer.pattern) else ""
    second = f" and {top.second_colour}" if pattern and told(writer.pattern) else ""
    words = [f"a person in a {pattern}{top.colour}{second} {top.kind}"]
    if top.kind != "dress" and told(writer.bottom):
        pattern = f"{bottom.pattern} " if bottom.pattern != "plain" and told(writer.pattern) else ""
        words.append(f"and {pattern}{bottom.colour} {bottom.kind}")
    if person.bag is not None and told(writer.bag):
        words.append(f"with a {person.bag.colour} {person.bag.kind}")
    small = [
        f"{person.shoes.colour} shoes",
        f"{person.hair.kind} hair" if person.hair.kind == "bald" else f"{person.hair.kind} {person.hair.colour} hair",
        person.hat and f"a {person.hat.colour} hat",
        person.scarf and f"a {person.scarf.colour} scarf",
        person.sleeves and f"{person.sleeves.colour} sleeves",
        person.belt and top.kind not in ("coat", "dress") and f"a {person.belt.colour} belt",
        person.side_stripe and bottom.kind == "trousers" and f"a {person.side_stripe.colour} stripe",
        person.chest and view != "back" and f"a {person.chest.colour} print",
        person.back and view != "front" and f"a {person.back.colour} print",
    ]
    words += [f", {thing}" for thing in small if thing and told(writer.small)]
    if told(writer.view):
        words.append(_VIEW_WORDS[view])
    if told(writer.scene):
        words.append(f", {scene}")
    if told(writer.background):
        words.append(f", {background} background")
    return " ".join(words)


def caption_words() -> list[str]:
    """Every word a caption can contain, sorted: the vocabulary of the lite tokenizer."""
    phrases = [*COLOURS, *TOPS, *BOTTOMS, *PATTERNS, *BAGS, *HAIR_STYLES, *_VIEW_WORDS.values(), *KINDS]
    phrases += ["a photo of person in and with background ,", "shoes hair hat scarf sleeves belt stripe print"]
    return sorted({word for phrase in phrases for word in phrase.split()})
