"""Figures of chapters show the numbers they are given, and say so in their text alternatives."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from dcac_lite import Experiment
from dcac_lite.book import chapter_figures
from dcac_lite.book.notebook import ParameterError, experiment_rules, start

SAMPLES = pd.DataFrame({"identity": [4, 4, 9, 9], "cosine": [0.5, 0.2, 0.9, 0.7], "mark": "sample"})
STEPS = pd.DataFrame({"step": [1, 2, 3], "id": [3.0, 2.0, 1.5], "pcl": [3.1, 1.0, 0.25]})
RESULTS = pd.DataFrame(
    {"role": ["source", "unseen"], "zero-shot mAP": [10.0, 11.5], "fine-tuned mAP": [80.0, 30.0]}, index=["MA", "D"]
)
SWEEP = pd.DataFrame(
    {name: np.geomspace(0.01, 1, 5) for name in ("tau_c", "entropy", "size", "predicted size", "variation")}
)
GRADIENTS = pd.DataFrame(
    [
        {"state": state, "scheme": scheme, "dif": dif, "low": dif / 2, "high": 2 * dif, "reid": 1.0}
        for state in ("start", "trained")
        for scheme, dif in (("correlation-aware", 0.01), ("class-wise-rescaled", 0.0), ("instance-wise", 0.5))
    ]
)
DIFFERENCES = pd.DataFrame(
    [
        {
            "source": "MA",
            "arm": "paper",
            "lambda_": 1.0,
            "target": target,
            "mean": mean,
            "low": mean - 1,
            "high": mean + 1,
            "n": 5,
        }
        for target, mean in (("D", 0.5), ("MS", 2.0), ("mean of unseen", 1.25))
    ]
)
RATES_OF_EPOCHS = pd.DataFrame({"schedule": "lite", "epoch": range(1, 6), "lr": [5e-4, 1e-3, 1e-3, 1e-4, 1e-5]})
CURVES = pd.DataFrame(
    [{"model": m, "rank": k, "CMC": c + k - 1} for m, c in (("zero-shot", 40), ("fine-tuned", 70)) for k in range(1, 6)]
)
BLACK = -torch.ones(3, 3, 8, 4)
EPOCHS = np.arange(1, 61)
RATES = {"code": EPOCHS * 1e-7, "text": EPOCHS * 0.9e-7}
P = torch.softmax(torch.arange(24.0).reshape(3, 2, 4), 2)


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        ("augmentations", ({"as it is": BLACK, "jitter": BLACK + 1},), "3 people, in one row each: as it is; jitter"),
        ("paired_differences", (DIFFERENCES,), "1 of 3 intervals hold zero; the paper's mean gain lies beyond 0 of 1"),
        ("patches", (np.zeros((3, 64, 32), np.uint8), 8), "8 rows of 4 square patches of 8 by 8 pixels"),
        ("schedules", (RATES_OF_EPOCHS,), "lite: up until epoch 2, down at 4 and 5"),
        ("matching_curves", (CURVES, "D"), "At rank 1: zero-shot 40 %, fine-tuned 70 %"),
        ("training_history", (STEPS.assign(epoch=[1, 1, 2]),), "ID loss (Eq. 5): 2.50 to 1.75; Prototype loss"),
        ("hardest_samples", (SAMPLES, {4: 0.4, 9: 0.95}), "2 identities"),
        ("baseline_history", (STEPS, 24, 0.9), "ends at 1.50"),
        ("before_and_after", (RESULTS,), "MA 10.0 and 80.0; D 11.5 and 30.0"),
        (
            "dark_knowledge",
            (np.zeros((2, 3, 8, 4, 3), np.uint8), torch.tensor([0, 3]), np.array([[0, 1], [3, 2]]), P,
             [0.1, 0.3, 1.2]),
            "three temperatures",
        ),
        ("temperature", (SWEEP, 24, 0.3), "0 to ln N"),
        ("gradients_of_schemes", (GRADIENTS,), "instance-wise sends 50 times what correlation-aware sends"),
        ("learning_rates", (EPOCHS, RATES, {"MA": EPOCHS * 1e-4, "MS": EPOCHS * 2e-4}, {"MA": 180, "MS": 400}),
         "0.006 on MA and 0.012 on MS"),
    ],
)  # fmt: skip
def test_a_figure_tells_its_numbers(draw, arguments, said):
    figure, alt = getattr(chapter_figures, draw)(*arguments)
    assert said in alt and len(alt) >= 40 and figure.axes
    figure.canvas.draw()
    plt.close(figure)


def test_the_parameters_of_an_experiment_are_checked_by_its_fields():
    rules = experiment_rules()
    assert {"seed", "lr", "jitter", "conditioning"} < rules.keys() and "sources" not in rules
    values = {name: getattr(Experiment(), name) for name in rules}
    start({"tier": "smoke", **values}, tier=("smoke",), **rules)
    for name, wrong in (("seed", "one"), ("lr", "fast"), ("conditioning", "mine"), ("recipe", "text")):
        with pytest.raises(ParameterError, match=f"Parameter {name} is"):
            start({"tier": "smoke", **values, name: wrong}, tier=("smoke",), **rules)
