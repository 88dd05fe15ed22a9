"""The clothes-adversarial loss of CAL (Gu et al., CVPR 2022), the baseline that DLCR expands the data of.

A clothes classifier learns to name the outfit from the feature (L_C); the encoder is then asked for features from which
the right outfit cannot be told from the same person's others (L_CA). The encoder's whole loss is L_ID + L_CA, with L_ID
the identity classifier's cross-entropy with label smoothing 0.1, `F.cross_entropy(..., label_smoothing=0.1)`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 16.0  # s: cosines times s are the logits, a temperature of 1/16
SMOOTHING = 0.1  # epsilon: the share of the weight that all outfits of a person divide
START = 25  # the first epoch, from 0, in which the two losses are used; CAL takes 50 for CCVID


def outfit_classes(pids: np.ndarray, clothes: np.ndarray) -> tuple[Tensor, Tensor]:
    """What the clothes classifier names, from person ids and outfit numbers of the training pictures, int [M] each.

    Returns the outfit of each picture, int64 [M] in 0..L-1, and whose each outfit is, int64 [L], as the number of the
    person among the sorted person ids (the labels of `data.domains.training_set`). Outfits are in the order of person
    id and outfit number; two people never share one, whatever their numbers. Raises ValueError for arguments of
    different length, fewer than two people, and a negative outfit number, which stands for one that nobody knows."""
    pids, clothes = np.asarray(pids), np.asarray(clothes)
    if pids.shape != clothes.shape or pids.ndim != 1:
        raise ValueError(
            f"There are person ids of shape {pids.shape} and outfits of shape {clothes.shape}; expected [M]."
        )
    if (unknown := np.flatnonzero(clothes < 0)).size:
        raise ValueError(f"Picture {unknown[0]} has outfit {clothes[unknown[0]]}; expected numbers of at least 0.")
    outfits, labels = np.unique(np.stack([pids, clothes], 1), axis=0, return_inverse=True)
    people, owners = np.unique(outfits[:, 0], return_inverse=True)
    if len(people) < 2:
        raise ValueError(f"The training pictures show {len(people)} person; the clothes losses need at least 2.")
    return torch.from_numpy(labels.reshape(-1)), torch.from_numpy(owners)


class ClothesClassifier(nn.Module):
    """z_ij = s cos(f_i, phi_j): one direction phi_j for each of L outfits, no bias. owners: whose it is, int64 [L]."""

    owners: Tensor

    def __init__(self, owners: Tensor, width: int, scale: float = SCALE):
        super().__init__()
        self.scale = scale
        self.directions = nn.Parameter(F.normalize(torch.randn(len(owners), width)))
        self.register_buffer("owners", owners)

    def forward(self, f: Tensor) -> Tensor:
        """Logits z [B, L] of features [B, d], which need not be of unit length."""
        return self.scale * F.normalize(f) @ F.normalize(self.directions).t()

    def loss(self, f: Tensor, outfits: Tensor) -> Tensor:
        """L_C: cross-entropy of z over all outfits. f: [B, d], through which no gradient goes; outfits: int64 [B]."""
        return F.cross_entropy(self(f.detach()), outfits)

    def adversarial_loss(self, f: Tensor, outfits: Tensor, smoothing: float = SMOOTHING) -> Tensor:
        """L_CA of features [B, d] and outfits int64 [B]; its gradient reaches f and not the directions.

        log p_ij = z_ij - log(exp z_ij + sum over k in S-_i of exp z_ik) for the outfits j in S+_i, those of the person
        of i; S-_i are everybody else's. A positive outfit competes with all negative ones but not with the other
        positives. Weights q_ij = (1 - eps) [j = c_i] + eps / K_i, K_i = |S+_i|; L_CA = - mean_i sum_j q_ij log p_ij.
        For people with one outfit it is L_C."""
        z = self.scale * F.normalize(f) @ F.normalize(self.directions.detach()).t()
        positive = self.owners[outfits][:, None] == self.owners  # [B, L]
        others = z.masked_fill(positive, -torch.inf).logsumexp(1, keepdim=True)
        share = positive / positive.sum(1, keepdim=True)
        weights = smoothing * share + (1 - smoothing) * F.one_hot(outfits, len(self.owners))
        # log p_ij = log sigmoid(z_ij - log sum of the negatives)
        return -(weights * F.logsigmoid(z - others)).sum(1).mean()


class ClothesAdversary:
    """A clothes classifier with its own Adam (constant rate), and the epoch, from 0, from which it takes part. Rate and
    weight decay are CAL's."""

    def __init__(
        self, classifier: ClothesClassifier, start: int = START, lr: float = 3.5e-4, weight_decay: float = 5e-4
    ):
        self.classifier, self.start = classifier, start
        self.optimizer = torch.optim.Adam(classifier.parameters(), lr=lr, weight_decay=weight_decay)

    def step(self, f: Tensor, outfits: Tensor, epoch: int) -> Tensor:
        """One step of the classifier on L_C, then L_CA by the classifier as it is now, to be added to the encoder's
        loss: a scalar, from f [B, d] and outfits int64 [B] of the originals. (Copies have words for their clothes and
        no outfit's number; they are in L_ID only.) Before the start epoch 0, and the classifier stays as it is."""
        if epoch < self.start:
            return f.new_zeros(())
        self.optimizer.zero_grad()
        self.classifier.loss(f, outfits).backward()
        self.optimizer.step()
        return self.classifier.adversarial_loss(f, outfits)
