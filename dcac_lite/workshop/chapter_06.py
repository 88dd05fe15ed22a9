"""Exercises of notebook 06: a map by hand, its grid, and how to measure where it lies."""

import numpy as np
import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need

PREDICTIONS = (
    Prediction(
        name="06.middle",
        asks="A fixed blob in the middle of every picture sees no picture and no model. What is its energy ratio on "
        "the body?",
        options=("below 1", "1, like an even map", "above 1"),
        right="above 1",
        why="Detectors put people in the middle. So a map above 1 may mean no more than 'in the middle', and the right "
        "null is the same map on other pictures' bodies.",
    ),
)

# ---------------------------------------------------------------- Grad-CAM


def grad_cam(A, dA):
    """The map of section 2, before it is enlarged. A and dA, its gradient: [K, rows, columns] -> [rows, columns]."""
    alpha = dA.mean((1, 2))  # one weight for each channel
    return torch.relu((alpha[:, None, None] * A).sum(0))


def _slow_cam(A, dA):
    K, rows, columns = A.shape
    found = torch.zeros(rows, columns)
    for r, c in np.ndindex(rows, columns):
        found[r, c] = max(0.0, sum(float(dA[k].sum()) / (rows * columns) * float(A[k, r, c]) for k in range(K)))
    return found


def _cam_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    return [tuple(torch.randn(5, *grid, generator=dice) for _ in range(2)) for grid in ((8, 4), (3, 6), (4, 4))]


_CAM = Exercise(
    name="06.cam",
    kind="implement",
    solution=grad_cam,
    right="One weight a channel, averaged over places; then what speaks for the person. Averaging fits convolutions "
    "better than transformers: section 4.",
    hints=(
        "Step 2: the mean of dA over rows and columns, [K].",
        "Step 3: weigh each channel of A and add the channels up.",
        "Keep what is above 0: torch.relu.",
    ),
    mistakes=(
        Mistake(
            lambda A, dA: (dA.mean((1, 2))[:, None, None] * A).sum(0),
            "What speaks against the person is still in it. Step 3 keeps what is above 0.",
        ),
        Mistake(
            lambda A, dA: torch.relu((dA * A).sum(0)),
            "Each place has its own gradient in yours. That is HiResCAM; Grad-CAM averages the gradient over places "
            "first.",
        ),
        Mistake(
            lambda A, dA: torch.relu((dA.sum((1, 2))[:, None, None] * A).sum(0)),
            "The weights are sums over places; step 2 takes the mean.",
        ),
        Mistake(
            lambda A, dA: torch.relu((dA.mean(0)[None] * A).sum(0)),
            "You average the gradient over channels. It is averaged over places, so that each channel has a weight.",
        ),
        Mistake(
            lambda A, dA: torch.relu((A.mean((1, 2))[:, None, None] * dA).sum(0)),
            "A and its gradient have changed places: the gradient gives the weights.",
        ),
    ),
    test=lambda answer: follows(answer, _slow_cam, _cam_probes(), "it differs from the three steps, place by place."),
    probes=_cam_probes,
)

# ---------------------------------------------------------------- the grid


def to_grid(tokens, rows, columns):
    """Tokens [1 + rows * columns, d], class token first -> [d, rows, columns]."""
    return tokens[1:].reshape(rows, columns, -1).permute(2, 0, 1)


def _slow_grid(tokens, rows, columns):
    found = torch.zeros(tokens.shape[1], rows, columns)
    for r, c in np.ndindex(rows, columns):
        found[:, r, c] = tokens[1 + r * columns + c]
    return found


def _grid_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    return [(torch.randn(1 + r * c, d, generator=dice), r, c) for r, c, d in ((8, 4, 3), (16, 8, 2), (2, 5, 4))]


_GRID = Exercise(
    name="06.grid",
    kind="implement",
    solution=to_grid,
    right="Patches are numbered row by row, behind the class token, and a person is taller than wide.",
    hints=(
        "Drop the class token: it is the first.",
        "reshape(rows, columns, d) keeps the numbering row by row; then move d to the front.",
    ),
    mistakes=(
        Mistake(
            lambda t, rows, columns: t[1:].reshape(columns, rows, -1).permute(2, 1, 0),
            "The token grid is transposed: you count down the columns. It fits without an error and shows the wrong "
            "places; patches are numbered row by row.",
        ),
        Mistake(
            lambda t, rows, columns: t[:-1].reshape(rows, columns, -1).permute(2, 0, 1),
            "You drop the last token. The class token is the first, so all your places are off by one.",
        ),
        Mistake(
            lambda t, rows, columns: t[1:].reshape(-1, rows, columns),
            "The numbers are only renamed: a token's d values lie side by side, so reshape to [rows, columns, d] and "
            "then permute.",
        ),
        Mistake(
            lambda t, rows, columns: t[1:].reshape(rows, columns, -1),
            "The order of the axes: d comes first, [d, rows, columns].",
        ),
    ),
    test=lambda answer: follows(answer, _slow_grid, _grid_probes(), "some token is not at its patch's place."),
    probes=_grid_probes,
)

# ---------------------------------------------------------------- measures


def energy_ratio_of(heat, region):
    """Share of a map's energy in a region over the region's share of the area. heat >= 0 and region bool, [H, W]."""
    return (heat[region].sum() / heat.sum()) / region.mean()


def _heat_probes() -> list[tuple]:
    made = []
    for seed in range(4):
        dice = np.random.default_rng(seed)
        made.append((dice.random((8, 6)) ** 3, dice.random((8, 6)) < 0.2 + 0.15 * seed))
    return made


def _test_energy(answer) -> None:
    for heat, region in _heat_probes():
        need(close(answer(np.ones_like(heat), region), 1.0), "an even map should have 1.")
        need(close(answer(3 * heat, region), answer(heat, region)), "a brighter map has another ratio; it should not.")
        only = np.where(region, 1.0, 0.0)
        need(close(answer(only, region), 1 / region.mean()), "all energy inside should give 1 over the area's share.")
    follows(
        answer,
        lambda heat, region: sum(heat[region]) * heat.size / (sum(heat.ravel()) * np.count_nonzero(region)),
        _heat_probes(),
        "it differs from the formula of section 5.",
    )


_ENERGY = Exercise(
    name="06.energy",
    kind="implement",
    solution=energy_ratio_of,
    right="An even map has 1, whatever the region, and brightness does not matter. Without the area a large region "
    "would always win.",
    hints=("The map's share: sum inside over sum of all.", "The area's share: region.mean().", "One over the other."),
    mistakes=(
        Mistake(
            lambda heat, region: heat[region].sum() / heat.sum(),
            "That is the share of the energy. An even map would get the area's share; divide by it.",
        ),
        Mistake(
            lambda heat, region: heat[region].sum() / heat[~region].sum(),
            "Inside over outside is another measure: an even map does not get 1.",
        ),
        Mistake(
            lambda heat, region: region.mean() / (heat[region].sum() / heat.sum()),
            "Turned over: more on the person should give a larger number.",
        ),
        Mistake(
            lambda heat, region: heat[region].mean(),
            "The mean inside depends on how bright the map is. Divide by the mean over the whole picture.",
        ),
    ),
    test=_test_energy,
    probes=_heat_probes,
)


def own_above_null(ratios):
    """ratios [n, n]: map i measured on picture j's region. Per map: the own region minus the mean over the others."""
    n = len(ratios)
    own = ratios.diagonal()
    return own - (ratios.sum(1) - own) / (n - 1)


def _ratio_probes() -> list[tuple]:
    return [(1 + 0.5 * np.random.default_rng(n).normal(size=(n, n)),) for n in (4, 7)]


def _test_null(answer) -> None:
    for n in (4, 7):
        blind = np.tile(1 + np.random.default_rng(n).random(n), (n, 1))  # every map the same: it saw no picture
        need(np.shape(answer(blind)) == (n,), "one number for each map, [n].")
        need(abs(float(np.mean(answer(blind)))) < 1e-9, "maps that see nothing should have 0 in the mean.")
    follows(
        answer,
        lambda r: np.array([r[i, i] - np.mean([r[i, j] for j in range(len(r)) if j != i]) for i in range(len(r))]),
        _ratio_probes(),
        "it differs from the own region minus the mean over all other pictures' regions.",
    )


_NULL = Exercise(
    name="06.null",
    kind="diagnose",
    solution=own_above_null,
    right="Maps that see nothing have 0 in the mean, the blob included. What is left over is owed to the own picture.",
    hints=(
        "Row i is one map on everybody's regions; its own stands on the diagonal.",
        "Take the diagonal out of the mean: (row sum - own) / (n - 1).",
    ),
    mistakes=(
        Mistake(
            lambda r: r.diagonal() - r.mean(1),
            "The own picture is among the others in your mean, which makes every difference too small by (n - 1) / n.",
        ),
        Mistake(
            lambda r: r.diagonal() - (r.sum(0) - r.diagonal()) / (len(r) - 1),
            "You average over other maps on the own region (a column). The null is the same map on other regions (a "
            "row).",
        ),
        Mistake(
            lambda r: r.diagonal() - 1, "1 is the null of an even map. A blob in the middle beats it, seeing nothing."
        ),
        Mistake(
            lambda r: r.diagonal() - np.roll(r, 1, axis=1).diagonal(),
            "You compare with one other picture. The mean over all others is steadier, and no luck of the order.",
        ),
    ),
    test=_test_null,
    probes=_ratio_probes,
)

# ---------------------------------------------------------------- "Try it" of the notebook


def _test_agreement(answer) -> None:
    models, definitions = (float(x) for x in answer)
    need(-1 <= min(models, definitions) and max(models, definitions) <= 1, "a correlation lies between -1 and 1.")
    need(max(models, definitions) < 0.9999, "a correlation of 1 compares a map with itself.")


_AGREEMENT = Exercise(
    name="06.2",
    kind="diagnose",
    solution=(0.6, 0.3),
    in_notebook="(agreement(first_map, second_map), agreement(first_map, other))",
    right="If two definitions of one model agree less than two models under one definition, then the choice of a "
    "definition says more than the comparison it was made for.",
    hints=(
        "cam_maps(model, images, labels, method) twice; flatten each pair of maps.",
        "scipy.stats.spearmanr(a, b).statistic, averaged over the pictures.",
        "Hand in (two models under one definition, two definitions of one model).",
    ),
    mistakes=(
        Mistake((1.0, 0.3), "The first is 1: both maps are of the same model.", lambda a: 1 >= float(a[0]) > 0.9999),
        Mistake(
            (0.6, 1.0), "The second is 1: both maps are of the same definition.", lambda a: 1 >= float(a[1]) > 0.9999
        ),
        Mistake((60.0, 30.0), "In percent; hand in correlations between -1 and 1.", lambda a: max(map(float, a)) > 1),
    ),
    test=_test_agreement,
)

EXERCISES = (_CAM, _GRID, _ENERGY, _NULL, _AGREEMENT)
