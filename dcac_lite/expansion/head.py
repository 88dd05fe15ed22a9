"""What stage 2 trains: a linear map, BN neck and classifier on top of the frozen encoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..global_batch import GlobalBatchNorm1d
from .adversary import ClothesAdversary, ClothesClassifier


class Head(nn.Module):
    """`encoder.ReIDModel` for what the encoder has seen (`activations`): its neck and classifier, behind a linear map
    of its input, which is centred and scaled."""

    def __init__(self, width: int, dim: int, identities: int):
        super().__init__()
        self.layer = nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, dim))
        self.neck = GlobalBatchNorm1d(dim)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, identities, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, width] -> the feature f [B, dim] and the logits [B, N]."""
        f = self.neck(self.layer(x))
        return f, self.classifier(f)

    @torch.no_grad()
    def features(self, seen: Tensor) -> Tensor:
        """Test features of pictures as they are and mirrored, [N, 2, width]: the sum of both, at length 1, float32
        [N, dim] on the CPU. As CAL has it, but that each is at length 1 before."""
        device = next(self.parameters()).device
        views = [F.normalize(self.neck(self.layer(x.float().to(device)))) for x in seen.unbind(1)]
        return F.normalize(sum(views)).cpu()


class Learner(nn.Module):
    """A head and CAL's adversary, or none. The state is whole in `state_dict`, the adversary's optimizer included, so
    that an interrupted training goes on as it would have."""

    def __init__(self, head: Head, owners: Tensor | None, start: int):
        super().__init__()
        self.head = head
        self.clothes = None if owners is None else ClothesClassifier(owners, head.classifier.in_features)
        self._start = start
        self._adversary: ClothesAdversary | None = None

    @property
    def adversary(self) -> ClothesAdversary | None:
        """Made when it is first asked for: its optimizer holds the classifier's weights where they are by then."""
        if self._adversary is None and self.clothes is not None:
            self._adversary = ClothesAdversary(self.clothes, self._start)
        return self._adversary

    def get_extra_state(self) -> dict:
        return self.adversary.optimizer.state_dict() if self.adversary else {}

    def set_extra_state(self, state: dict) -> None:
        if self.adversary:
            self.adversary.optimizer.load_state_dict(state)
