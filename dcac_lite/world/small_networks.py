"""Networks from random weights as references: a small CNN, and the encoder itself without its pre-training.

What they reach on a domain, pre-training did not give. Both are trained on one source alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment import normalise, random_crop, random_flip, random_jitter, to_tensor
from ..data.domains import TrainingSet
from ..encoder import ReIDModel, id_loss
from ..experiment import Experiment
from ..pretrained.clip import build_visual, load_clip_visual, visual_architecture
from ..sampling import epoch_batches
from ..tiers import TIERS
from ..trainer import Trainer
from ..training import assemble

CHANNELS = 24  # of the first block; the last has three times as many
STRIPES = 2
BATCH = (16, 4)  # identities and images of each
#: uint8 images [N, 3, H, W] -> features, float32 [N, d] of length 1
Extractor = Callable[[np.ndarray], np.ndarray]
#: normalised images [B, 3, H, W] -> augmented ones
Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def weak(x: Tensor, generator: torch.Generator) -> Tensor:
    """The paper's augmentation: flip, pad and crop by two pixels."""
    return random_crop(random_flip(x, generator), 2, generator)


def strong(x: Tensor, generator: torch.Generator) -> Tensor:
    """The lite tier's: flip, then `augment.random_jitter` at full strength."""
    return random_jitter(random_flip(x, generator), 1.0, generator)


class Block(nn.Module):
    """A residual block: two 3 x 3 convolutions, the first with a stride, and a 1 x 1 convolution beside them."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.beside = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.beside(x))


class SmallCNN(nn.Module):
    """Four residual blocks, each stripe averaged, and a BN neck: normalised images [B, 3, H, W] -> [B, d]."""

    def __init__(self):
        super().__init__()
        c = CHANNELS
        self.blocks = nn.Sequential(
            nn.Conv2d(3, c, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            Block(c, c, 2),
            Block(c, 2 * c, 2),
            Block(2 * c, 3 * c, 2),
            Block(3 * c, 3 * c, 1),
            nn.AdaptiveAvgPool2d((STRIPES, 1)),
            nn.Flatten(),
        )
        self.width = 3 * c * STRIPES
        self.neck = nn.BatchNorm1d(self.width)
        self.neck.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.neck(self.blocks(x))


def train_cnn(data: TrainingSet, augmentation: Augmentation, steps: int = 1200, seed: int = 0) -> Extractor:
    """A `SmallCNN` trained on `data` from random weights by the ID loss with label smoothing (AdamW, one
    cycle over `steps`). Returns its features."""
    torch.manual_seed(seed)
    net = SmallCNN()
    classifier = nn.Linear(net.width, data.identities, bias=False)
    learning = [p for p in (*net.parameters(), *classifier.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    generator = torch.Generator().manual_seed(seed)
    for rows in epoch_batches(data.labels, *BATCH, seed, 1, steps):
        logits = classifier(net(augmentation(normalise(data.images(rows)), generator)))
        optimizer.zero_grad()
        id_loss(logits, data.labels[rows]).backward()
        optimizer.step()
        schedule.step()
    net.eval()

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = [net(normalise(to_tensor(images[i : i + 256]))) for i in range(0, len(images), 256)]
        return F.normalize(torch.cat(parts)).numpy()

    return features


def clip_features(visual: nn.Module) -> Extractor:
    """The features of an image tower as it is, without any training on a Re-ID domain."""
    model = ReIDModel(visual, 1)  # a neck that has seen nothing changes nothing but the length
    return lambda images: model.features(images).numpy()


def zero_shot(tier: str = "lite") -> Extractor:
    """`clip_features` of the tier's CLIP."""
    return clip_features(load_clip_visual(TIERS[tier].clip, TIERS[tier].image_size))


def fit_encoder(experiment: Experiment, data: TrainingSet, visual: nn.Module, learn_patches: bool = False) -> Extractor:
    """An image tower trained on `data` with losses, batches, augmentation and schedule of the baseline `experiment`;
    learn_patches: its patch projection, too. Returns its features."""
    experiment = replace(experiment, conditioning="none").resolved()
    torch.manual_seed(experiment.seed)
    model = assemble(experiment, data.identities, visual, None)
    model.reid.visual.conv1.requires_grad_(learn_patches)
    trainer = Trainer(experiment, data, model, None)
    step = 0
    for epoch in range(1, experiment.epochs + 1):
        trainer.start_epoch(epoch)
        plan = (experiment.identities, experiment.instances, experiment.seed, epoch, experiment.iterations)
        batches = epoch_batches(data.labels, *plan)
        for batch in trainer.inputs(batches, step):
            trainer.step(batch)
        step += len(batches)
    return lambda images: model.reid.features(images).numpy()


def train_encoder(experiment: Experiment, data: TrainingSet) -> Extractor:
    """`fit_encoder` from random weights: no pre-training. Unlike in the baseline the patch projection learns, since a
    random one is not worth keeping. (Seed 0 draws the very weights that the shipped CLIP's pre-training began
    with.)"""
    tier = experiment.resolved().of_tier
    architecture = visual_architecture(load_clip_visual(tier.clip, tier.image_size))
    torch.manual_seed(experiment.seed)
    return fit_encoder(experiment, data, build_visual(architecture), learn_patches=True)
