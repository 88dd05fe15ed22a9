"""Exercises of notebook 00: how a ranking is scored, and what a score is worth."""

from .exercise import Exercise, Mistake, Prediction, close, need

PREDICTIONS = (
    Prediction(
        name="00.gain",
        asks="A model is trained on MA. Where does that raise the score more, on MA's test people or on D's?",
        options=("on MA", "on D", "equally"),
        right="on MA",
        why="MA's test people are new, but its cameras and places are known. What was learned there is only partly "
        "true in D: that loss is what this field fights for. (A few steps of the smoke tier hardly show it.)",
    ),
)


def _test_ap(answer) -> None:
    value = float(answer) / (100 if float(answer) > 1 else 1)
    precision = {2: 1 / 2, 3: 2 / 3}  # at the right pictures: how many right so far, over the rank
    need(close(value, sum(precision.values()) / 2, 2e-3), "walk down the list once more: notes at ranks 2 and 3 only.")


_AP = Exercise(
    name="00.ap",
    kind="change",
    solution=7 / 12,
    right="1/2 at the first right picture, 2/3 at the second; their mean is 7/12, 58.3 %. R1 is 0, because the nearest "
    "picture is somebody else.",
    hints=(
        "Note the precision at each right picture: right ones so far over pictures seen.",
        "At rank 2 it is 1/2. And at rank 3?",
        "The average of the two notes.",
    ),
    mistakes=(
        Mistake(5 / 12, "You average over all four ranks. Notes are taken at the right pictures only."),
        Mistake(2 / 3, "That is the note at the last right picture; average it with that of the first."),
        Mistake(
            1 / 2, "That is right pictures over all pictures, or the first note alone; where they stand must count."
        ),
        Mistake(0.0, "That is R1. AP looks at all right pictures."),
        Mistake(
            0.58,
            "The way is right, and the result is rounded too far to tell. Hand in three digits, or let Python divide.",
            lambda answer: float(answer) in (0.58, 58.0),
        ),
        Mistake(5 / 6, "That is the list of the text, right at ranks 1 and 3. Here they are at ranks 2 and 3."),
    ),
    test=_test_ap,
)


def _test_gains(answer) -> None:
    on_d, on_c3 = (float(x) for x in answer)
    need(max(abs(on_d), abs(on_c3)) < 50, "so large a gain would be a record; hand in after minus before, in points.")
    need(on_d != on_c3, "the two are equal to the last digit: was the same domain measured twice?")


_GAINS = Exercise(
    name="00.1",
    kind="change",
    solution=(28.0, 25.0),
    in_notebook='(after.loc["D", "mAP"] - before.loc["D", "mAP"], '
    'on_c3["DCAC, trained on MA"]["mAP"] - on_c3["zero-shot CLIP"]["mAP"])',
    right="Compare the two gains with each other, not the two scores: each gallery is as hard as it is.",
    hints=(
        "trained.evaluate('C3') and evaluate(zero_shot, domains['C3']) both give an mAP.",
        "A gain is after minus before, in points of mAP; D's are in `after` and `before`.",
        "Hand in (gain on D, gain on C3).",
    ),
    mistakes=(
        Mistake((53.0, 54.0), "These look like scores. A gain is the score after training minus that before.",
                lambda answer: max(map(abs, map(float, answer))) >= 50),
        Mistake((28.0, 28.0), "Twice the same gain: C3 has to be evaluated, too.",
                lambda answer: float(answer[0]) == float(answer[1])),
    ),
    test=_test_gains,
)  # fmt: skip


def _test_chance(answer) -> None:
    value = float(answer)
    need(value > 0, "a random order finds some right pictures early.")
    need(value < 20, "features that know nothing cannot score so high in so large a gallery.")


_CHANCE = Exercise(
    name="00.2",
    kind="change",
    solution=1.2,
    in_notebook='chance["mAP"]',
    right="Small, and not 0: each query has some right pictures, and a random order puts them anywhere. The larger the "
    "gallery, the lower chance is, so scores of different domains do not compare.",
    hints=(
        "torch.randn(number of pictures, 32) are features that know nothing.",
        "rank_metrics(query features, gallery features, pids, pids, cameras, cameras)['mAP'].",
    ),
    mistakes=(
        Mistake(0.0, "Not 0: a random order puts right pictures somewhere, and each of them earns a little precision."),
        Mistake(50.0, "A half would be chance with two answers. Here a few right pictures stand among hundreds.",
                lambda answer: 40 <= float(answer) <= 60),
        Mistake(100.0, "Everything right? Query and gallery got the same features, so that distances are 0.",
                lambda answer: float(answer) > 90),
    ),
    test=_test_chance,
)  # fmt: skip


def _test_broken(answer) -> None:
    proper, broken = (float(x) for x in answer)
    need(1 < max(proper, broken) <= 100, "mAP in percent, please.")
    need(broken > proper, "with the rule broken the score should be higher.")


_BROKEN = Exercise(
    name="00.3",
    kind="diagnose",
    solution=(54.0, 62.0),
    in_notebook='(proper["mAP"], broken["mAP"])',
    right="Points without a better model: pictures of the own camera were taken a moment earlier, before the same "
    "wall. A score means nothing without its protocol.",
    hints=(
        "Gallery pictures are ignored if person AND camera are the query's.",
        "Give all gallery pictures the camera -1 and call rank_metrics again.",
        "Hand in (mAP by the rule, mAP with the rule broken).",
    ),
    mistakes=(
        Mistake((62.0, 54.0), "The order: first by the rule, then broken.",
                lambda answer: float(answer[0]) > float(answer[1])),
        Mistake((54.0, 54.0), "The same score twice: in the second call some cameras still agree with the query's.",
                lambda answer: float(answer[0]) == float(answer[1])),
    ),
    test=_test_broken,
)  # fmt: skip

EXERCISES = (_AP, _GAINS, _CHANCE, _BROKEN)
