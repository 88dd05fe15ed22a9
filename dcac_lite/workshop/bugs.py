"""Planted bugs: each case is something broken, what one sees of it, and the reasoning that leads from the one to the
other, as TROUBLESHOOTING.md has it. The answer is the repaired function."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from . import broken, toy
from .chapter_02 import _AP, _slow_ap, moved_prototypes, prototype_loss
from .exercise import Exercise, Mistake, close, follows, need
from .toy import GAMMA, TAU

PREDICTIONS = ()


@dataclass(frozen=True)
class Case:
    """story: what somebody reports. shows: the call that prints the symptoms of the learner's function."""

    exercise: Exercise
    story: str
    shows: str


# ---------------------------------------------------------------- the ID loss


def id_loss(logits, labels):
    """Eq. 5 with labels smoothed by 0.1. logits [B, N], labels int64 [B]."""
    log_p = logits.log_softmax(dim=1)
    q = torch.full_like(log_p, 0.1 / logits.shape[1])
    q[torch.arange(len(labels)), labels] += 0.9
    return -(q * log_p).sum(1).mean()


def smoothed_loss(logits, labels, smoothing=0.1):
    """Eq. 5. logits [B, N], labels int64 [B]."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _logit_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    return [(torch.randn(6, n, generator=dice), torch.randint(n, (6,), generator=dice)) for n in (4, 6, 9)]


def _test_id_loss(answer) -> None:
    for n in (5, 40):
        first = float(answer(torch.zeros(8, n), torch.arange(8) % n))
        need(
            abs(first - math.log(n)) < 1e-4,
            f"equal logits over {n} identities should cost ln {n} = {{math.log(n):.2f}}.",
        )
        rival = torch.zeros(1, n, dtype=torch.float64)
        rival[0, 0] = math.log(0.9 * n / 0.1 + 1)  # the margin that fits a label smoothed by 0.1
        lowest = float(answer(rival, torch.tensor([0])))
        need(
            abs(lowest - toy.floor(n)) < 1e-3,
            f"the best logits should cost {toy.floor(n):.2f}, the floor for N = {{n}}.",
        )
    follows(answer, smoothed_loss, _logit_probes(), "it differs from the smoothed cross-entropy.")


_AXIS = Exercise(
    name="bug.1",
    kind="diagnose",
    given=broken.id_loss,
    solution=id_loss,
    right="With equal logits the first loss is the logarithm of what the softmax runs over. It was ln 32, the batch, "
    "and not ln 24, the identities: the softmax ran down the wrong axis.",
    hints=(
        "Which number has the logarithm that you see in the first step?",
        "There are 32 pictures in a batch and 24 identities.",
        "The softmax has to run over the identities, dim 1.",
    ),
    mistakes=(
        Mistake(
            lambda logits, labels: F.cross_entropy(logits, labels),
            "The axis is right now, but the smoothing has gone: look at the floor.",
        ),
        Mistake(
            lambda logits, labels: broken.id_loss(logits, labels) * math.log(logits.shape[1]) / math.log(len(labels)),
            "A factor only hides the symptom: gradients still come from the wrong softmax.",
        ),
    ),
    test=_test_id_loss,
    probes=_logit_probes,
)

_SMOOTHING = Exercise(
    name="bug.3",
    kind="diagnose",
    given=broken.smoothed_loss,
    solution=smoothed_loss,
    right="No smoothed loss can fall below the entropy of its label. One that does is not smoothed, whatever its "
    "arguments say.",
    hints=(
        "Compare the last ID loss with the floor that is printed beside it.",
        "The floor follows from labels smoothed by 0.1. What if they are not?",
        "`smoothing` is an argument that nobody uses.",
    ),
    mistakes=(
        Mistake(
            lambda logits, labels, smoothing=0.1: F.cross_entropy(logits, labels) + smoothing,
            "A constant lifts the curve and changes no gradient. The label has to be smoothed.",
        ),
        Mistake(
            lambda logits, labels, smoothing=0.1: (1 - smoothing) * F.cross_entropy(logits, labels),
            "That is a weaker hard label: the share that was taken away has to be spread over all identities.",
        ),
    ),
    test=_test_id_loss,
    probes=_logit_probes,
)

# ---------------------------------------------------------------- the first classifier


def _test_first(answer) -> None:
    weights = answer(50, 16)
    need(tuple(weights.shape) == (50, 16), "one row of weights for each identity, [N, d].")
    need(weights.abs().max() < 0.05, "with features of size 1 such weights give logits far from 0 before any step.")
    need(weights.std() > 0, "all rows are equal; the official code draws them from N(0, 0.001).")


_FIRST = Exercise(
    name="bug.2",
    kind="diagnose",
    given=broken.first_classifier,
    solution=toy.first_classifier,
    right="A classifier that knows nothing should pay ln N. One with large random weights is sure of wrong answers, "
    "and pays far more, before it has seen anything.",
    hints=(
        "The first loss is far above ln N: the model is sure, and wrong, before any training.",
        "Logits are products of features of size 1 with the rows. How large should they be at the start?",
        "N(0, 0.001): 0.001 * torch.randn(identities, width).",
    ),
    mistakes=(
        Mistake(lambda n, d: torch.randn(n, d) / d**0.5, "Better, and still far too large: the logits have size 1 "
        "then.",
                lambda answer: 0.1 < float(answer(50, 16).std()) < 0.5),
        Mistake(lambda n, d: torch.zeros(n, d), "Zeros do start at ln N. But then no gradient reaches the encoder in "
                "the first step, since it passes the rows; draw them very small.",
                lambda answer: float(answer(50, 16).abs().max()) == 0),
        Mistake(lambda n, d: 0.001 * torch.randn(d, n), "Rows and columns have changed places.",
                lambda answer: tuple(answer(50, 16).shape) == (16, 50)),
    ),
    test=_test_first,
    probes=lambda: [(50, 16)],
)  # fmt: skip

# ---------------------------------------------------------------- the memory


def memory_step(prototypes, unit, labels):
    """The prototype loss of a batch, and the prototypes afterwards. unit: features of length 1."""
    value = prototype_loss(unit, labels, prototypes, TAU)
    return value, moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def contrast_step(prototypes, unit, labels):
    """The same, with the loss written out."""
    logits = unit @ prototypes.T / TAU
    return F.cross_entropy(logits, labels), moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def _memory_probes() -> list[tuple]:
    made = []
    for seed in range(3):
        dice = torch.Generator().manual_seed(seed)
        prototypes, unit = (F.normalize(torch.randn(n, 6, generator=dice)) for n in (7, 8))
        made.append((prototypes, unit, torch.tensor([0, 2, 3, 6]).repeat_interleave(2)))
    return made


def _test_memory(answer) -> None:
    for prototypes, unit, labels in _memory_probes():
        value, moved = answer(prototypes.clone(), unit, labels)
        expected = memory_step(prototypes, unit, labels)
        need(close(value, expected[0]), "the loss is not Eq. 6 with the prototypes of the steps before.")
        need(close(moved, expected[1]), "the prototypes that come back are not those of Eq. 7.")


_ORDER = Exercise(
    name="bug.4",
    kind="diagnose",
    given=broken.memory_step,
    solution=memory_step,
    right="The memory was updated before the loss, so each sample was compared with prototypes that its own batch "
    "had just moved. Loss first, then the update.",
    hints=(
        "The first prototype loss is not that of the centroids, though the memory was just filled with them.",
        "Which prototypes does the loss see?",
        "Compute the loss before `prototypes` is overwritten.",
    ),
    mistakes=(
        Mistake(
            lambda prototypes, unit, labels: (prototype_loss(unit, labels, prototypes, TAU), prototypes),
            "The loss is right now, but the prototypes no longer move: Eq. 7 has gone.",
        ),
        Mistake(
            lambda prototypes, unit, labels: (
                prototype_loss(unit, labels, prototypes, TAU),
                moved_prototypes(prototypes, unit, labels, 1 - GAMMA),
            ),
            "The order is right. Now gamma is wrong: it was GAMMA, the share of the old prototype.",
        ),
    ),
    test=_test_memory,
    probes=_memory_probes,
)

_TAU = Exercise(
    name="bug.5",
    kind="diagnose",
    given=broken.contrast_step,
    solution=contrast_step,
    right="Cosines times 0.1 lie between -0.1 and 0.1. No softmax can be sure of anything then, and the loss stays at "
    "ln N, whatever the encoder learns: tau was on the wrong side.",
    hints=(
        "It begins near ln N and stays there, while the ID loss falls: the encoder learns, the loss cannot see it.",
        "How far apart can two logits be?",
        "Divide by TAU.",
    ),
    mistakes=(
        Mistake(
            lambda prototypes, unit, labels: (
                F.cross_entropy(unit @ prototypes.T, labels),
                moved_prototypes(prototypes, unit, labels, GAMMA),
            ),
            "Without tau the logits lie between -1 and 1: better, and still far too near to each other.",
        ),
        Mistake(
            lambda prototypes, unit, labels: (
                F.cross_entropy(unit @ prototypes.T * TAU, labels) / TAU,
                moved_prototypes(prototypes, unit, labels, GAMMA),
            ),
            "You scale the loss. The logits have to be divided, inside the softmax.",
        ),
    ),
    test=_test_memory,
    probes=_memory_probes,
)

# ---------------------------------------------------------------- the batch


def _batch_probes() -> list[tuple]:
    x, labels = torch.arange(20.0)[:, None], torch.arange(20) // 4
    return [(x, labels, torch.tensor(rows)) for rows in ([7, 3, 19, 0], [12, 1, 5], [2, 1, 0, 3, 18, 4])]


def _test_batch(answer) -> None:
    for x, labels, rows in _batch_probes():
        pictures, named = answer(x, labels, rows)
        where = pictures[:, 0].long()
        need(
            sorted(where.tolist()) == sorted(rows.tolist()),
            "these are not the pictures of the rows that were asked for.",
        )
        need(torch.equal(labels[where], named), "a picture has somebody else's label.")


_BATCH = Exercise(
    name="bug.6",
    kind="diagnose",
    given=broken.take_batch,
    solution=toy.take_batch,
    right="Nothing can be learned from labels that belong to other pictures: the ID loss stays at ln N, and as many "
    "are named right as by chance.",
    hints=(
        "It behaves as if there were nothing to learn. What if there is not?",
        "Follow one picture and its label through the function, with rows = [7, 3].",
        "Sort both, or neither.",
    ),
    mistakes=(
        Mistake(
            lambda x, labels, rows: (x[rows], labels[rows.sort().values]),
            "Now the labels are sorted and the pictures are not: the same bug from the other side.",
        ),
        Mistake(
            lambda x, labels, rows: (x[: len(rows)], labels[: len(rows)]),
            "Picture and label belong together now, but they are always the first ones: `rows` is not used.",
        ),
    ),
    test=_test_batch,
    probes=_batch_probes,
)

# ---------------------------------------------------------------- the score


def search_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def list_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def _ignoring(mask):
    """Average precision without the gallery pictures that `mask(own, same_camera)` names."""

    def answer(distance, person, camera, query_person, query_camera):
        valid = ~mask(person == query_person, camera == query_camera)
        return _slow_ap(distance[valid], person[valid], camera[valid] * 0 - 1, query_person, query_camera)

    return answer


def _test_score(answer) -> None:
    follows(answer, _slow_ap, _AP.probes(), "it differs from the protocol, picture by picture, on random rankings.")


_CAMERA = Exercise(
    name="bug.7",
    kind="diagnose",
    given=broken.search_score,
    solution=search_score,
    right="Two arguments were never used: the cameras. Pictures of the query's own camera share its background; they "
    "are taken out of the list by the protocol, and a score that counts them is too good.",
    hints=(
        "The score of trained features is too good; that of random ones hardly changes. Who profits?",
        "Which arguments does the function never look at?",
        "Leave out what shows the same person from the same camera, before sorting.",
    ),
    mistakes=(
        Mistake(
            _ignoring(lambda own, same: same),
            "You leave out everybody from that camera. Strangers from it stay in the list; only the same person goes.",
        ),
        Mistake(
            _ignoring(lambda own, same: own & ~same),
            "You leave out the other cameras and keep the own one: just the other way round.",
        ),
    ),
    test=_test_score,
    probes=_AP.probes,
)

_FAR = Exercise(
    name="bug.8",
    kind="diagnose",
    given=broken.list_score,
    solution=list_score,
    right="A trained model that scores below random features knows a great deal and says the opposite: the list "
    "began with the farthest picture. Distances are sorted upwards, similarities downwards.",
    hints=(
        "Random features score better than trained ones. To be worse than chance takes knowledge.",
        "Which picture stands first in the list?",
        "argsort sorts upwards. What does [::-1] do?",
    ),
    mistakes=(
        Mistake(
            lambda distance, person, camera, q, c: 1 - broken.list_score(distance, person, camera, q, c),
            "1 minus a bad score is no score: the list has to be turned round.",
        ),
        Mistake(
            lambda distance, person, camera, q, c: broken.search_score(distance, person, camera, q, c),
            "The order is right now, and the pictures of the own camera are back in the list.",
        ),
    ),
    test=_test_score,
    probes=_AP.probes,
)

# ---------------------------------------------------------------- test features


def features(neck, f):
    """Test features of length 1. neck: the BN neck; f [B, d]: what the encoder gives."""
    was_training = neck.training
    neck.eval()
    z = F.normalize(neck(f))
    neck.train(was_training)
    return z


def _neck(seed: int = 0) -> torch.nn.BatchNorm1d:
    neck = torch.nn.BatchNorm1d(5, affine=False)
    for k in range(30):
        neck(3 + torch.randn(40, 5, generator=torch.Generator().manual_seed(seed + k)))
    return neck


def _neck_probes() -> list[tuple]:
    return [(_neck(k), 3 + torch.randn(6, 5, generator=torch.Generator().manual_seed(90 + k))) for k in range(2)]


def _test_features(answer) -> None:
    for neck, f in _neck_probes():
        before, together = neck.running_mean.clone(), answer(neck, f)
        need(close(together.norm(dim=1), torch.ones(len(f))), "the features should have length 1.")
        need(close(before, neck.running_mean), "asking for features has changed the neck's statistics.")
        need(close(torch.cat([answer(neck, part) for part in f.split(2)]), together),
             "a picture's feature depends on which pictures come with it.")  # fmt: skip
        need(neck.training, "the neck was in training mode before, and is not afterwards: training would go on in the "
             "wrong mode.")  # fmt: skip
    follows(answer, features, _neck_probes(), "it differs from the neck with its running statistics.")


def _stays_eval(neck, f):
    neck.eval()
    return F.normalize(neck(f))


def _not_unit(neck, f):
    was = neck.training
    z = neck.eval()(f)
    neck.train(was)
    return z


_NECK = Exercise(
    name="bug.9",
    kind="diagnose",
    given=broken.features,
    solution=features,
    right="In training mode a batch normalisation uses the statistics of the batch at hand. At the test that makes a "
    "picture's feature depend on its companions; in evaluation mode it uses the running statistics.",
    hints=(
        "The same pictures, the same weights, and another score when they come in smaller batches.",
        "What in a network looks at the whole batch?",
        "neck.eval() before, and the mode it was in afterwards.",
    ),
    mistakes=(
        Mistake(
            _stays_eval,
            "Right features, but the neck stays in evaluation mode: the next training step would no longer move its "
            "statistics. Put the mode back.",
            lambda answer: _left_in_eval(answer),
        ),
        Mistake(_not_unit, "The mode is right; now the features have lost their length of 1."),
        Mistake(lambda neck, f: F.normalize(f), "You leave the neck out. The test features come after it."),
    ),
    test=_test_features,
    probes=_neck_probes,
)


def _left_in_eval(answer) -> bool:
    neck = _neck()
    answer(neck, torch.randn(4, 5))
    return not neck.training


# ---------------------------------------------------------------- the diffusion side


def latents(mean, scaling):
    """Latents as the U-Net was trained on. mean: the VAE's posterior mean."""
    return scaling * mean


def _latent_probes() -> list[tuple]:
    return [(torch.randn(3, 4, generator=torch.Generator().manual_seed(k)), s) for k, s in enumerate((0.18, 0.5, 2.0))]


_SCALING = Exercise(
    name="bug.10",
    kind="diagnose",
    given=broken.latents,
    solution=latents,
    right="A network that predicts nothing has a loss of 1; one that does worse believes in another world. Its "
    "latents had variance 1, and yours were 5.5 times as large: the VAE's scaling factor was missing.",
    hints=(
        "A loss above 1 is worse than predicting nothing.",
        "How large are the latents, and how large is the noise?",
        "The VAE's scaling factor brings latents to a variance of about 1.",
    ),
    mistakes=(
        Mistake(lambda mean, scaling: mean / scaling, "Divided: that is the way back, before the VAE decodes."),
        Mistake(
            lambda mean, scaling: mean / mean.std(),
            "That gives variance 1 here, by the batch's own spread. Then a latent depends on its batch, and a dull "
            "picture is blown up; take the constant.",
        ),
    ),
    test=lambda answer: follows(
        answer, lambda mean, scaling: mean * scaling, _latent_probes(), "it is not the mean times the scaling factor."
    ),
    probes=_latent_probes,
)


def told(logits, prompts, labels):
    """The condition: the true identity's prompt, as strong as the model is sure of it. [B, N], [N, D], [B] -> [B, "
    "D]."""
    p_y = logits.softmax(dim=1).gather(1, labels[:, None])
    return p_y * prompts[labels]


def _told_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    sizes = ((6, 4, 3), (4, 7, 5))
    return [(torch.randn(b, n, generator=dice), torch.randn(n, d, generator=dice), torch.arange(b) % n)
            for b, n, d in sizes]  # fmt: skip


def _test_told(answer) -> None:
    follows(answer, told, _told_probes(), "it differs from p_y times the true identity's prompt.")
    logits, prompts, labels = _told_probes()[0]
    logits.requires_grad_()
    c = answer(logits, prompts, labels)
    need(c.requires_grad, "the values are right, and no gradient comes back through them.")
    (gradient,) = torch.autograd.grad(c.square().sum(), logits)
    need(gradient.abs().max() > 1e-3, "no gradient comes back to the logits.")


_TOLD = Exercise(
    name="bug.11",
    kind="diagnose",
    given=broken.told,
    solution=told,
    right="The sum of what was kept is p_y itself, so p_y is divided away and c = e_y: a function of the label. The "
    "encoder hears nothing. The official code does just this in its class-wise row.",
    hints=(
        "gradient_dif is 0 up to rounding: nothing that the encoder computed is left in c.",
        "What is kept.sum(1), in terms of p?",
        "Do not divide.",
    ),
    mistakes=(
        Mistake(
            lambda logits, prompts, labels: logits.softmax(1) @ prompts,
            "That is Eq. 12, which sends a gradient. But this scheme was to keep the true identity only: p_y e_y.",
        ),
        Mistake(
            lambda logits, prompts, labels: logits.detach().softmax(1).gather(1, labels[:, None]) * prompts[labels],
            "The values are right, but they are detached from the logits: gradient_dif is still 0.",
            lambda answer: not answer(
                _told_probes()[0][0].requires_grad_(), *_told_probes()[0][1:]
            ).requires_grad,
        ),
    ),
    test=_test_told,
    probes=_told_probes,
)  # fmt: skip


def start(d_in, r, d_out):
    """The adapter's matrices A [d_in, r] and B [r, d_out] before the first step."""
    return torch.randn(d_in, r) / d_in**0.5, torch.zeros(r, d_out)


def _test_start(answer) -> None:
    A, B = answer(12, 3, 9)
    need(tuple(A.shape) == (12, 3) and tuple(B.shape) == (3, 9), "A is [d_in, r] and B is [r, d_out].")
    need((A @ B == 0).all(), "before the first step the adapter should add exactly nothing.")
    need(A.abs().max() > 0 or B.abs().max() > 0, "both are zero: each one's gradient carries the other as a factor.")


_START = Exercise(
    name="bug.12",
    kind="diagnose",
    given=broken.start,
    solution=start,
    right="The gradient of A carries B as a factor, and that of B carries A. With both at zero neither ever moves. One "
    "random, one zero: nothing changes at the start, and the zero one can learn.",
    hints=(
        "The error is the same to the last digit after 200 steps: not slow, but stuck.",
        "What is the gradient of h A B with respect to B, if A is 0?",
        "One of the two may be zero, not both.",
    ),
    mistakes=(
        Mistake(
            lambda d_in, r, d_out: (torch.randn(d_in, r), torch.randn(r, d_out)),
            "Now it learns, and it no longer starts as the pre-trained layer: see the first line. One of them has to "
            "be zero.",
            lambda answer: min(float(part.abs().min()) for part in answer(12, 3, 9)) > 0,
        ),
        Mistake(
            lambda d_in, r, d_out: (torch.zeros(r, d_in), torch.randn(d_out, r)),
            "The shapes have changed places: A is [d_in, r], B is [r, d_out].",
            lambda answer: [tuple(part.shape) for part in answer(12, 3, 9)] == [(3, 12), (9, 3)],
        ),
    ),
    test=_test_start,
    probes=lambda: [(12, 3, 9), (4, 2, 6)],
)

# ---------------------------------------------------------------- the cases

CASES = (
    Case(_AXIS, "The first ID loss is not ln 24, though the classifier knows nothing yet.",
         "training(id_loss=id_loss)"),
    Case(_FIRST, "The first ID loss is enormous. Later all is well. Does it matter?",
         "training(first_classifier=first_classifier)"),
    Case(_SMOOTHING, "The last ID loss is lower than in the book. A better model?", "training(id_loss=smoothed_loss)"),
    Case(_ORDER, "The ID loss is as it should be. The prototype loss begins high (a healthy one: 0.5) and ends low.",
         "training(memory_step=memory_step)"),
    Case(_TAU, "The prototype loss does not move at all.", "training(memory_step=contrast_step)"),
    Case(_BATCH, "Nothing is learned: the ID loss stays where it was.", "training(take_batch=take_batch)"),
    Case(_CAMERA, "The mAP is eight points above what the book's protocol gives for these features. Publish it?",
         "searching(search_score)"),
    Case(_FAR, "mAP of 1.5 %, from an encoder that names every training picture right.", "searching(list_score)"),
    Case(_NECK, "mAP is fine in the benchmark and hopeless in the demo, where pictures come in twos.",
         "one_by_one(features)"),
    Case(_SCALING, "The diffusion loss is above 1, and the U-Net's weights were loaded: somebody checked.",
         "denoising(latents)"),
    Case(_TOLD, "DCAC trains exactly as the baseline does, whatever lambda is.", "teaching(told)"),
    Case(_START, "The adapter starts as it should, and never learns.", "adapting(start)"),
)  # fmt: skip

EXERCISES = tuple(case.exercise for case in CASES)
