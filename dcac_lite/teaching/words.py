"""A caption for every identity of a training set: true, predicted by CLIP, or given by a user."""

import csv
import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import normalise, to_tensor
from ..data.domains import Domain
from ..data.load import load_domain
from ..device import compute_device
from ..experiment import Experiment
from ..pretrained.clip import load_clip
from ..world.appearance import BOTTOMS, COLOURS, TOPS, Appearance
from ..world.captioning import Writer, caption_of

#: Tells all that makes a person and nothing of a picture.
THOROUGH = Writer(pattern=1, bottom=1, view=0, scene=0, background=0, bag=1, small=1)
CAPTIONS_FILE = "captions.csv"


def _domains(experiment: Experiment) -> list[Domain]:
    return [load_domain(name, experiment.tier) for name in experiment.sources]


def people_of(experiment: Experiment) -> list[Appearance]:
    """The truth about every identity of an experiment's sources, in the order of the labels. Raises ValueError for
    a source that is no embedded domain."""
    from ..world.truth import truth_of

    people = []
    for domain in _domains(experiment):
        first = np.unique(domain.train.pids, return_index=True)[1]
        people += [s.appearance for s in truth_of(domain.name, [domain.train.names[k] for k in first], experiment.tier)]
    return people


def true_captions(experiment: Experiment) -> list[str]:
    """What is true about every identity, in words; an oracle. In the order of the labels."""
    rng = np.random.default_rng(0)  # asked for, though a thorough writer leaves nothing to chance
    return [caption_of(person, "side", "", "", THOROUGH, rng) for person in people_of(experiment)]


@lru_cache(maxsize=4)
@torch.no_grad()
def _predicted(sources: tuple[str, ...], tier: str) -> tuple[str, ...]:
    import open_clip

    experiment = Experiment(tier=tier, sources=sources)
    source = str(experiment.of_tier.clip)
    clip = load_clip(source, experiment.of_tier.image_size).eval().to(device := compute_device())
    name, _, tag = source.partition(":")
    tokenizer = open_clip.get_tokenizer(name if tag else f"local-dir:{source}")

    def features(texts: Sequence[str]) -> Tensor:
        return torch.cat([clip.encode_text(tokenizer(part).to(device), normalize=True) for part in _parts(texts)])

    portraits = []
    for domain in _domains(experiment):
        labels = torch.from_numpy(np.unique(domain.train.pids, return_inverse=True)[1])
        parts = [np.array(domain.train.images[rows]) for rows in _parts(np.arange(len(labels)))]
        seen = torch.cat([clip.encode_image(normalise(to_tensor(p).to(device)), normalize=True).cpu() for p in parts])
        sums = torch.zeros(int(labels.max()) + 1, seen.shape[1]).index_add_(0, labels, seen)
        portraits.append(F.normalize(sums))
    return tuple(choose_words(torch.cat(portraits), lambda texts: features(texts).cpu()))


def _parts(things):
    return [things[k : k + 256] for k in range(0, len(things), 256)]


def predicted_captions(experiment: Experiment) -> list[str]:
    """What CLIP says, zero-shot, of every identity: `choose_words` on the mean of its training pictures' features.
    Uses no labels but those of Re-ID, and works in every tier. In the order of the labels."""
    return list(_predicted(experiment.sources, experiment.tier))


def choose_words(portraits: Tensor, features) -> list[str]:
    """A caption for each of N people. portraits: CLIP's image features [N, d], unit length; features: texts -> CLIP's
    text features, unit length. The upper garment is chosen first, then the lower one, each as the nearest of all in
    the words of the caption so far. Smaller things are left out: on MA in the lite tier the upper colour is right for
    three people in four (nearly all, where a second colour counts) and the lower one for nearly half, a bag's colour
    hardly more often than by chance."""
    captions = ["a person in a"] * len(portraits)
    garments = [f"{colour} {top}" for colour in COLOURS for top in TOPS]
    lower = ["", *(f"and {colour} {bottom}" for colour in COLOURS for bottom in BOTTOMS)]
    for words in (garments, lower):
        so_far = sorted(set(captions))
        texts = [f"{start} {word}".strip() for start in so_far for word in words]
        nearness = (portraits @ features(texts).t()).view(len(portraits), len(so_far), len(words))
        own = torch.tensor([so_far.index(caption) for caption in captions])
        best = nearness[torch.arange(len(own)), own].argmax(1)
        captions = [f"{start} {words[k]}".strip() for start, k in zip(captions, best.tolist())]
    return captions


def given_captions(experiment: Experiment) -> list[str]:
    """The captions in the file `captions.csv` in the folder of every source, with a line `person,caption` for each
    training identity: the number by which its files begin, and the words. In the order of the labels.

    Raises FileNotFoundError without such a file, ValueError naming a person without a caption."""
    captions = []
    for domain in _domains(experiment):
        path = domain.root / CAPTIONS_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; write a line person,caption for each training identity.")
        with open(path, newline="", encoding="utf-8") as file:
            known = {row[0].strip().lstrip("0"): row[1].strip() for row in csv.reader(file) if len(row) == 2}
        people = [str(pid) for pid in np.unique(domain.train.pids)]
        if lacking := [pid for pid in people if not known.get(pid)]:
            raise ValueError(f"{path} has no caption of person {lacking[0]}, and of {len(lacking) - 1} others.")
        captions += [known[pid] for pid in people]
    return captions


def given_key(experiment: Experiment) -> str:
    """Hash of the captions that were given."""
    return hashlib.sha256("\n".join(given_captions(experiment)).encode()).hexdigest()[:16]
