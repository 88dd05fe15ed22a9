"""Exercises of notebook B2: which pictures a clothes-changing ranking leaves out, whom clothes mislead, and a vote."""

from itertools import product

import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need

PREDICTIONS = (
    Prediction(
        name="B2.control",
        asks="Recolouring the clothes takes no model. How much of the gain of painted copies does it have?",
        options=("nothing", "less than half", "more than half"),
        right="more than half",
        why="In mAP, about seven tenths in the lite table, with intervals that leave zero out for both. What a painter "
        "adds to other colours is there, and it is the smaller part. Without that control all would have been his.",
    ),
    Prediction(
        name="B2.vote",
        asks="Six faultless copies of the query: what do they bring more by, the vote or the mean of the features?",
        options=("the vote", "the same", "the mean"),
        right="the mean",
        why="The vote may only order the query's own five nearest, and where clothes have changed the right person is "
        "seldom among them. A mean feature searches the whole gallery again.",
    ),
)


def _dice(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- who is left out


def left_out(pid, outfit, pids, outfits):
    """Gallery pictures, bool [G], that a clothes-changing ranking leaves out for a query of person pid in an outfit."""
    return (pids == pid) & (outfits == outfit)


def _gallery(seed: int) -> tuple:
    pids = torch.randint(0, 3, (12,), generator=_dice(seed))
    return 1, 2, pids, torch.randint(0, 4, (12,), generator=_dice(seed + 20))


def _out_probes() -> list[tuple]:
    return [_gallery(seed) for seed in range(4)]


def _one_by_one(pid, outfit, pids, outfits):
    return torch.tensor([p == pid and o == outfit for p, o in zip(pids.tolist(), outfits.tolist())])


def _test_out(answer) -> None:
    pids, outfits = torch.tensor([1, 1, 2, 2]), torch.tensor([7, 8, 7, 8])
    out = answer(1, 7, pids, outfits)
    need(
        bool(out[0]), "the person in the query's own outfit is not left out, and clothes alone would find the picture."
    )
    need(not bool(out[1]), "the person in another outfit is left out, who is the one to be found.")
    need(not bool(out[2]), "somebody else in the query's outfit is left out, who is what makes the task hard.")
    follows(answer, _one_by_one, _out_probes(), "it differs from going through the gallery picture by picture.")


_OUT = Exercise(
    name="B2.left-out",
    kind="implement",
    solution=left_out,
    right="Only the same person in the same outfit goes. Strangers in that outfit stay: they are the temptation.",
    hints=(
        "Two conditions must hold together.",
        "Of the query's person, the pictures in the query's outfit. Nobody else's.",
        "(pids == pid) & (outfits == outfit)",
    ),
    mistakes=(
        Mistake(
            lambda pid, outfit, pids, outfits: outfits == outfit,
            "Strangers in the query's outfit are left out as well. But they are what the clothes shortcut falls for; "
            "without them the ranking is easier than life.",
        ),
        Mistake(
            lambda pid, outfit, pids, outfits: pids == pid,
            "Nobody is left to be found: the person in other clothes is gone, too.",
        ),
        Mistake(
            lambda pid, outfit, pids, outfits: (pids == pid) | (outfits == outfit),
            "Either condition is enough here. Both must hold.",
        ),
        Mistake(
            lambda pid, outfit, pids, outfits: ~left_out(pid, outfit, pids, outfits),
            "True stands for the pictures that stay. Asked is which are left out.",
        ),
        Mistake(
            lambda pid, outfit, pids, outfits: (pids == pid) & (outfits != outfit),
            "These are the right answers of the clothes-changing ranking. Left out are the others of that person.",
        ),
    ),
    test=_test_out,
    probes=_out_probes,
)

# ---------------------------------------------------------------- whom clothes mislead


def share_misled(right, same_outfit):
    """Of the wrong first answers, the percentage that wear the query's outfit. Both bool [Q], of each query's first
    answer: is it the right person, and does it wear the query's outfit?"""
    return 100 * same_outfit[~right].float().mean()


def _misled_probes() -> list[tuple]:
    draws = [torch.rand(2, 25, generator=_dice(k)) for k in range(3)]
    return [(d[0] < 0.4, d[1] < 0.3) for d in draws]


def _counted(right, same_outfit):
    wrong = [k for k, found in enumerate(right.tolist()) if not found]
    return torch.tensor(100 * sum(same_outfit.tolist()[k] for k in wrong) / len(wrong))


def _test_misled(answer) -> None:
    right = torch.tensor([True, True, False, False])
    need(close(answer(right, ~right), 100.0), "all wrong answers in the query's outfit are not 100.")
    need(close(answer(right, right), 0.0), "right answers in the query's outfit count as misled.")
    follows(answer, _counted, _misled_probes(), "it differs from counting query by query.")


_MISLED = Exercise(
    name="B2.misled",
    kind="implement",
    solution=share_misled,
    right="A share of the errors, so that a model with few of them and one with many can be compared: it says how a "
    "model errs, not how often. Hold it against the share of strangers who wear the outfit by chance.",
    hints=(
        "Which queries are asked about at all? Those whose first answer is wrong.",
        "right is bool: ~right picks the others.",
        "100 * same_outfit[~right].float().mean()",
    ),
    mistakes=(
        Mistake(
            lambda right, same: 100 * (same & ~right).float().mean(),
            "You divide by all queries. A better model then seems less misled only because it errs less.",
        ),
        Mistake(
            lambda right, same: 100 * same.float().mean(),
            "Right answers are in it. In the same clothes they wear the query's outfit as they should.",
        ),
        Mistake(
            lambda right, same: 100 * (~right)[same].float().mean(),
            "That is the share of errors among the answers in the query's outfit: the question turned round.",
        ),
        Mistake(lambda right, same: share_misled(right, same) / 100, "This lies between 0 and 1; asked is percent."),
    ),
    test=_test_misled,
    probes=_misled_probes,
)

# ---------------------------------------------------------------- a vote


def winner(cosines, pids, m):
    """The person whom Algorithm 1 answers. cosines [1 + l, G], the query's row first and then its copies'; pids int
    [G]; m pictures of each row vote -> a person id."""
    values, places = cosines.topk(m, dim=1)
    votes = values / values[:, :1]
    scores = {p: votes[pids[places] == p].sum() for p in pids[places[0]].tolist()}
    return max(scores, key=scores.__getitem__)


def _vote_probes() -> list[tuple]:
    return [
        (
            0.1 + 0.9 * torch.rand(1 + copies, 14, generator=_dice(k), dtype=torch.float64),
            torch.randint(0, 6, (14,), generator=_dice(k + 50)),
            m,
        )
        for k, (copies, m) in enumerate(product((1, 2, 3), (1, 2, 3, 4, 5, 6)))
    ]


def _slowly(cosines, pids, m):
    def nearest(row):
        return sorted(range(len(pids)), key=lambda k: -float(row[k]))[:m]

    scores = {int(pids[k]): 0.0 for k in nearest(cosines[0])}
    for row in cosines:
        for k in nearest(row):
            if int(pids[k]) in scores:
                scores[int(pids[k])] += float(row[k] / row.max())
    return torch.tensor(max(scores, key=scores.__getitem__))


def _test_vote(answer) -> None:
    pids = torch.tensor([1, 2, 2, 3])
    query = torch.tensor([[0.9, 0.8, 0.7, 0.1]], dtype=torch.float64)
    copies = torch.tensor([[0.2, 0.9, 0.8, 0.1]] * 3, dtype=torch.float64)
    need(int(answer(query, pids, 1)) == 1, "the query alone, with m = 1, does not answer its nearest picture's person.")
    need(
        int(answer(torch.cat([query, copies]), pids, 3)) == 2,
        "three copies that all find person 2 do not bring him forward.",
    )
    strangers = torch.tensor([[0.1, 0.2, 0.3, 0.9]] * 3, dtype=torch.float64)
    need(
        int(answer(torch.cat([query, strangers]), pids, 2)) != 3,
        "somebody wins who is not among the query's own m nearest.",
    )
    follows(answer, _slowly, _vote_probes(), "it differs from adding up vote by vote.")


def _anybody(cosines, pids, m):
    values, places = cosines.topk(m, dim=1)
    votes = values / values[:, :1]
    scores = {p: votes[pids[places] == p].sum() for p in pids[places].flatten().tolist()}
    return max(scores, key=scores.__getitem__)


def _counting(cosines, pids, m):
    places = cosines.topk(m, dim=1).indices
    scores = {p: (pids[places] == p).sum() for p in pids[places[0]].tolist()}
    return max(scores, key=scores.__getitem__)


def _copies_only(cosines, pids, m):
    values, places = cosines.topk(m, dim=1)
    votes = (values / values[:, :1])[1:]
    scores = {p: votes[pids[places[1:]] == p].sum() for p in pids[places[0]].tolist()}
    return max(scores, key=scores.__getitem__)


_VOTE = Exercise(
    name="B2.winner",
    kind="implement",
    solution=winner,
    right="Every row votes, near pictures more, and only the query's own m nearest people can win. That last rule is "
    "the bound of section 9: whom the query does not have on its short list, no copy can bring there.",
    hints=(
        "cosines.topk(m, dim=1) gives the m nearest of the query and of each copy.",
        "A vote weighs its cosine divided by the largest of its row.",
        "Add up the weights for each person on the query's own list, pids[places[0]]; the largest sum wins.",
    ),
    mistakes=(
        Mistake(
            _anybody,
            "Anybody whom a copy finds can win here. Algorithm 1 scores only people among the query's own m nearest.",
        ),
        Mistake(
            _counting,
            "Every vote weighs the same here. In Algorithm 1 a picture's vote is its cosine over the row's largest.",
        ),
        Mistake(_copies_only, "The query itself has no vote here. It is one of the voters."),
        Mistake(
            lambda cosines, pids, m: int(pids[cosines.mean(0).argmax()]),
            "You average the cosines and search once. That is the control, not the vote (and in section 9 it is the "
            "better of the two).",
        ),
        Mistake(
            lambda cosines, pids, m: int(pids[cosines[0].argmax()]),
            "That is the query's nearest picture: nobody has voted.",
        ),
    ),
    test=_test_vote,
    probes=_vote_probes,
)

EXERCISES = (_OUT, _MISLED, _VOTE)
