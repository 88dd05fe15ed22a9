"""How well clothes are painted: inside the mask against the truth, outside against the picture, and in the colours that
were asked for.

The truth of a copy is the same picture re-dressed by the renderer (oracle O1). Every kind is read in the same pictures;
a kind that was told nothing is read against what "inpainted" was told, as a placebo. The colour of a part is the word
that most of its pixels are nearest to, where the truth shows it and as every colour looks there: the renderer dresses
the person in each. Patterns and errors of the descriptions cost the truth a share too: its own row is the ceiling."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from ..data.domains import Split
from ..world.appearance import COLOURS, Garment, Piece
from ..world.domains import Sample
from ..world.figure import LOWER, SHOES, UPPER
from ..world.truth import garment_mask
from . import painted
from .copies import other_outfits
from .descriptions import PARTS, Description
from .domains import clothes_spec, file_name, load_clothes, truth_of
from .inpainting.material import as_input
from .masks import pasted
from .outfit_words import by_number, own_words
from .specs import ClothesSpec
from .wardrobe import Outfit, catalogue
from .world import in_other_clothes, worn_mask

GREY = 128
COUNT = 4  # copies of each picture that are read
LEAST = 6  # pixels of a part whose colour is read
LABELS = dict(zip(PARTS, (UPPER, LOWER, (SHOES,))))
COLUMNS = ("domain", "kind", "copies", "PSNR inside", "same outside", *PARTS)


@dataclass(frozen=True)
class Target:
    """What a copy should be. sample: the picture it is made of; words: what it was asked to show; truth: the picture
    re-dressed; labels: the truth as a `Sample`, which knows where its parts are."""

    sample: Sample
    words: Description
    truth: np.ndarray
    labels: Sample

    @cached_property
    def palette(self) -> np.ndarray:
        """The truth dressed plainly in each of `COLOURS`, int16 [13, H, W, 3]."""
        outfit = Outfit.of(self.labels.shot.person)
        dyed = (_dyed(outfit, word) for word in COLOURS)
        return np.stack([in_other_clothes(self.sample, each).image for each in dyed]).astype(np.int16)


def _plain(kind: str, colour: str) -> Garment:
    return Garment(kind, colour, COLOURS[colour], colour, COLOURS[colour], "plain", 8)


def _dyed(outfit: Outfit, word: str) -> Outfit:
    """The cut of an outfit in one colour, with nothing printed on it."""
    return outfit_of(Description(f"{word} {outfit.top.kind}", f"{word} {outfit.bottom.kind}", f"{word} shoes"))


def outfit_of(words: Description) -> Outfit:
    """A plain outfit in the colours of a description that has all parts."""
    (top, top_kind), (bottom, bottom_kind), (shoes, _) = (part.split(" ", 1) for part in words)
    parts = {"top": _plain(top_kind, top), "bottom": _plain(bottom_kind, bottom), "shoes": Piece(shoes, COLOURS[shoes])}
    return Outfit(**{f.name: None for f in fields(Outfit)} | parts)


def _target(sample: Sample, words: Description, outfit: Outfit) -> Target:
    picture = in_other_clothes(sample, outfit)
    person = replace(sample.shot.person, **{f.name: getattr(outfit, f.name) for f in fields(outfit)})
    labels = replace(sample, picture=picture, shot=replace(sample.shot, person=person))
    return Target(sample, words, picture.image, labels)


def targets(kind: str, spec: ClothesSpec, samples: list[Sample], count: int) -> list[list[Target]]:
    """For each picture what its copies of a kind are compared with."""
    found = []
    for sample in samples:
        if kind == "random prompts":
            words = painted.KINDS[kind].words(spec, sample, count)
            found.append([_target(sample, each, outfit_of(each)) for each in words])
        elif kind == "own outfit":
            own = Outfit.of(sample.shot.person)
            found.append([_target(sample, own_words(spec, sample.record), own)] * count)
        else:
            numbers = other_outfits(spec, sample, count)
            found.append([_target(sample, by_number(spec)[n], catalogue(spec)[n]) for n in numbers])
    return found


def psnr_inside(copy: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels over the pixels of a mask, pictures uint8 [H, W, 3]. Infinite where they
    are equal."""
    error = np.square(copy[mask].astype(float) - truth[mask]).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def colour_word(image: np.ndarray, palette: np.ndarray, mask: np.ndarray) -> str:
    """The word of `COLOURS` that most pixels of a part are nearest to, in RGB. palette: see `Target`."""
    distance = np.square(image[mask].astype(int) - palette[:, mask]).sum(2)  # [13, pixels]
    return list(COLOURS)[int(np.bincount(distance.argmin(0)).argmax())]


def follows(copy: np.ndarray, target: Target) -> dict[str, float]:
    """By part whether the copy shows the colour that was asked for: 1 or 0, NaN where none was asked for or the truth
    shows less than `LEAST` pixels of the part inside the mask."""
    where = worn_mask(target.sample)
    results = {}
    for part, words in zip(PARTS, target.words):
        mask = garment_mask(target.labels, LABELS[part]) & where
        asked = words.split(" ")[0]
        readable = bool(asked) and mask.sum() >= LEAST
        results[part] = float(colour_word(copy, target.palette, mask) == asked) if readable else float("nan")
    return results


def flat(target: Target) -> np.ndarray:
    """The description's words painted flat where the picture showed the part, uint8 [H, W, 3]; grey for what has no
    word."""
    image = target.sample.picture.image.copy()
    image[worn_mask(target.sample)] = GREY
    for part, words in zip(PARTS, target.words):
        if words:
            image[garment_mask(target.sample, LABELS[part])] = COLOURS[words.split(" ")[0]]
    return image


def _through_vae(vae) -> Callable[[Target], np.ndarray]:
    @torch.no_grad()
    def paint(target: Target) -> np.ndarray:
        y = vae.decode(vae.encode(as_input(target.truth[None])).latent_dist.mean).sample[0]
        return ((y.permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()

    return paint


def references(vae) -> dict[str, Callable[[Target], np.ndarray]]:
    """By name: pictures that need no inpainting model. All are pasted inside the mask."""
    return {
        "the truth": lambda target: target.truth,
        "the truth through the VAE": _through_vae(vae),
        "words painted flat": flat,
        "grey": lambda target: np.full_like(target.truth, GREY),
        "the picture as it is": lambda target: target.sample.picture.image,
    }


def _row(domain: str, kind: str, pairs: Iterator[tuple[np.ndarray, Target]]) -> dict:
    """A row of the table from copies and their targets."""
    read = []
    for copy, target in pairs:
        mask = worn_mask(target.sample)
        outside = (copy == target.sample.picture.image).all(2)[~mask].mean()
        read.append(
            {"PSNR inside": psnr_inside(copy, target.truth, mask), "same outside": outside, **follows(copy, target)}
        )
    table = pd.DataFrame(read)
    shares = 100 * table[["same outside", *PARTS]].mean()
    return {"domain": domain, "kind": kind, "copies": len(table), "PSNR inside": table["PSNR inside"].mean(), **shares}


def _readable(spec: ClothesSpec, split: Split, pictures: int) -> list[Sample]:
    """Evenly over a split, pictures that show clothes."""
    step = max(1, len(split) // pictures)
    return [s for s in truth_of(spec, split.names[::step][:pictures]) if worn_mask(s).any()]


def report(names: tuple[str, ...], tier: str, pictures: int = 24) -> pd.DataFrame:
    """A row for each domain and kind of copies, of `pictures` of its training pictures, `COUNT` copies each. PSNR
    inside the mask in dB, the mean over copies; same outside: pixels outside of the mask that are the picture's, in
    percent; upper, lower, footwear: share of copies whose part has the colour asked for, in percent."""
    from ..paths import LITE_WEIGHTS
    from ..pretrained.stable_diffusion import load_stable_diffusion

    vae, rows = load_stable_diffusion(LITE_WEIGHTS / "stable-diffusion", 32).vae, []
    for name in names:
        spec = clothes_spec(name, tier)
        samples = _readable(spec, load_clothes(name, tier).train, pictures)
        files = [file_name(s.record) for s in samples]
        others = targets("inpainted", spec, samples, COUNT)
        for kind in painted.KINDS:
            copies, _ = painted.painted(kind, spec, files, COUNT)
            alone = kind in ("random prompts", "own outfit")  # with targets of their own
            each = targets(kind, spec, samples, COUNT) if alone else others
            pairs = ((copies[i, k].transpose(1, 2, 0), each[i][k]) for i in range(len(samples)) for k in range(COUNT))
            rows.append(_row(name, kind, pairs))
        wanted = [target for row in others for target in row]
        for kind, paint in references(vae).items():
            inside = ((pasted(t.sample.picture.image, paint(t), worn_mask(t.sample)), t) for t in wanted)
            rows.append(_row(name, kind, inside))
    return pd.DataFrame(rows, columns=list(COLUMNS))
