"""Exercises of notebook 03: LoRA by hand, its counts, and attention over a single token."""

import numpy as np
import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need

PREDICTIONS = (
    Prediction(
        name="03.start",
        asks="A U-Net gets fresh adapters with B = 0. How far is its output from the pre-trained one's?",
        options=("exactly 0", "rounding", "a few percent"),
        right="exactly 0",
        why="B = 0 makes the added term a true zero, and adding zero is exact in floating point.",
    ),
    Prediction(
        name="03.one-token",
        asks="Every query and key matrix of the cross-attention is replaced by random numbers. With ONE context token, "
        "how much does the output change?",
        options=("not at all", "a little", "completely"),
        right="not at all",
        why="Attention weights are a softmax over the keys, and a softmax over a single number is 1 whatever it is. "
        "With a caption of many tokens the same damage is large.",
    ),
)

# ---------------------------------------------------------------- Eq. 9


def lora_layer(h, W, A, B):
    """Eq. 9: h [n, d_in], W [d_in, d_out], A [d_in, r], B [r, d_out] -> [n, d_out]."""
    return h @ W + (h @ A) @ B / A.shape[1]


def _lora_probes() -> list[tuple]:
    made = []
    for seed, (n, d_in, r, d_out) in enumerate([(3, 6, 2, 7), (4, 5, 3, 8), (2, 8, 4, 8)]):
        dice = torch.Generator().manual_seed(seed)
        shapes = (n, d_in), (d_in, d_out), (d_in, r), (r, d_out)
        made.append(tuple(torch.randn(*shape, generator=dice, dtype=torch.float64) for shape in shapes))
    return made


def _merged(h, W, A, B):
    """One dense matrix in the place of three, element by element."""
    dense = W.clone()
    for i, j in np.ndindex(*W.shape):
        dense[i, j] += sum(A[i, k] * B[k, j] for k in range(A.shape[1])) / A.shape[1]
    return h @ dense


def _test_lora(answer) -> None:
    for h, W, A, B in _lora_probes():
        need(torch.equal(answer(h, W, A, 0 * B), h @ W), "with B = 0 the layer should be exactly the old one.")
        once, twice = answer(h, W, A, B) - h @ W, answer(h, W, A, 2 * B) - h @ W
        need(close(2 * once, twice), "twice the B should add twice as much.")
        doubled = answer(h, W, torch.cat([A, A], 1), torch.cat([B, B], 0)) - h @ W
        need(
            close(doubled, once),
            "the same adapter stacked twice, at rank 2r, should add the same: the factor is 1 / r.",
        )
    follows(answer, _merged, _lora_probes(), "it differs from one merged matrix W + AB / r.")


_LORA = Exercise(
    name="03.lora",
    kind="implement",
    solution=lora_layer,
    right="With B = 0 it is exactly the old layer, and it equals one merged matrix. The factor 1/r keeps the size of "
    "what is added when the rank changes.",
    hints=(
        "Multiply from the left: h @ A first is [n, r], which is thin.",
        "r is the number of columns of A.",
        "h @ W + (h @ A) @ B / r",
    ),
    mistakes=(
        Mistake(
            lambda h, W, A, B: h @ W + h @ A @ B,
            "It is scaled by 1 and not by 1/r. Here alpha = 1, so the factor alpha / r is 1/r.",
        ),
        Mistake(lambda h, W, A, B: h @ A @ B / A.shape[1], "h W is missing: LoRA adds to the old layer."),
        Mistake(
            lambda h, W, A, B: (h @ W + h @ A @ B) / A.shape[1],
            "You divide the old layer as well. Only the adapter carries the factor 1/r.",
        ),
        Mistake(
            lambda h, W, A, B: h @ W + h @ A @ B / A.shape[0],
            "You divide by d_in. The factor is 1/r, with the rank r, the thin side of A.",
        ),
        Mistake(lambda h, W, A, B: h @ W + A.shape[1] * (h @ A @ B), "r is on the wrong side: divide by it."),
    ),
    test=_test_lora,
    probes=_lora_probes,
)

# ---------------------------------------------------------------- what learns


def lora_parameters(layers, rank):
    """How many numbers learn. layers: a list of (d_in, d_out) of the adapted matrices."""
    return sum(rank * (d_in + d_out) for d_in, d_out in layers)


def _count_probes() -> list[tuple]:
    return [([(320, 320), (768, 320), (320, 2560)], 8), ([(64, 32)], 4), ([(10, 20), (30, 40)], 1)]


def _test_count(answer) -> None:
    for layers, rank in _count_probes():
        built = [torch.nn.Linear(d_in, rank, bias=False).weight.numel() +
                 torch.nn.Linear(rank, d_out, bias=False).weight.numel() for d_in, d_out in layers]  # fmt: skip
        need(int(answer(list(layers), rank)) == sum(built), f"layers {layers} at rank {rank} have {sum(built):,}.")


_COUNT = Exercise(
    name="03.count",
    kind="change",
    solution=lora_parameters,
    right="A has d_in times r numbers, B has r times d_out. It is proportional to the rank, and a 320 x 320 layer at "
    "rank 8 has 5,120 for 102,400.",
    hints=("A is [d_in, r] and B is [r, d_out].", "r * d_in + r * d_out for each layer, added up."),
    mistakes=(
        Mistake(
            lambda layers, rank: sum(a * b for a, b in layers),
            "That is the whole matrix W, which is frozen.",
        ),
        Mistake(
            lambda layers, rank: sum(rank * (a + b) + a * b for a, b in layers),
            "W is frozen: count A and B only.",
        ),
        Mistake(
            lambda layers, rank: sum(rank * a * b for a, b in layers),
            "You multiply d_in and d_out. The two thin matrices stand side by side: their sizes add.",
        ),
        Mistake(lambda layers, rank: sum(rank * a for a, b in layers), "That is A only; B learns as well."),
    ),
    test=_test_count,
    probes=_count_probes,
)  # fmt: skip

# ---------------------------------------------------------------- "Try it" of the notebook


def _test_both(answer) -> None:
    millions = float(answer) / 1e6 if float(answer) > 1e4 else float(answer)
    need(round(millions, 2) == 89.50, f"it is {millions:.2f} M; the text's reading gives 89.50 M.")


_BOTH = Exercise(
    name="03.1",
    kind="change",
    solution=89_501_312,
    in_notebook="total",
    right="89.50 M, and Table 6 prints 89.01 M: the paper adapts the first linear layer of each feed-forward network "
    "only.",
    hints=(
        "`ff.net.2` is the second linear layer; add it to a list of targets.",
        "inject_adapter_in_model(LoraConfig(r=8, lora_alpha=1, target_modules=[...], bias='none'), unet), on 'meta'.",
        "Count what learns in three parts: learning(reid) + learning(prompts) + learning(unet).",
    ),
    mistakes=(
        Mistake(89.01, "89.01 M is one layer only, what the module adapts. Add 'ff.net.2' to the targets.",
                lambda answer: round(float(answer) / (1e6 if float(answer) > 1e4 else 1), 2) == 89.01),
        Mistake(2_982_400, "These are the adapters alone. Table 6 counts encoder and prompts as well.",
                lambda answer: 2.4e6 < float(answer) < 3.1e6 or 2.4 < float(answer) < 3.1),
        Mistake(949_000_000, "You count what exists. The table counts what learns: requires_grad.",
                lambda answer: float(answer) > 9e8 or 900 < float(answer) < 1000),
    ),
    test=_test_both,
)  # fmt: skip


def _test_ranks(answer) -> None:
    counts = {int(rank): int(count) for rank, count in dict(answer).items()}
    need({8, 16, 32, 64} <= set(counts), "hand in a dictionary with the ranks 8, 16, 32 and 64.")
    per_rank = {rank: count / rank for rank, count in counts.items()}
    need(len({round(x) for x in per_rank.values()}) == 1, "the count should be proportional to the rank.")
    need(counts[8] == 2_492_928, f"at rank 8 Stable Diffusion has 2,492,928 LoRA parameters; got {counts[8]:,}.")


_RANKS = Exercise(
    name="03.2",
    kind="change",
    solution={8: 2_492_928, 16: 4_985_856, 32: 9_971_712, 64: 19_943_424},
    in_notebook='dict(zip(ranks["rank"], ranks["counted"]))',
    right="Proportional to the rank: 311,616 for each. So a rank is a budget, and a comparison of ranks at one "
    "learning rate compares budgets, too.",
    hints=(
        "Every A and every B has one side of length r.",
        "Divide the count at rank 8 by 8.",
        "Hand in a dictionary: {8: ..., 16: ..., 32: ..., 64: ...}.",
    ),
    mistakes=(
        Mistake({8: 2_492_928, 16: 9_971_712, 32: 39_886_848, 64: 159_547_392}, "You scale with the square of the "
                "rank. Each matrix has only one side of length r.", lambda a: a[16] == 4 * a[8]),
        Mistake(dict.fromkeys((8, 16, 32, 64), 2_492_928), "The same for all ranks: the rank does not arrive where the "
                "U-Net is adapted.", lambda a: len(set(a.values())) == 1),
        Mistake({8: 89_010_000, 16: 91_500_000, 32: 96_490_000, 64: 106_460_000}, "Encoder and prompts are in it. LoRA "
                "parameters alone were asked for.", lambda a: a[8] > 80_000_000),
    ),
    test=_test_ranks,
)  # fmt: skip


def _test_idle(answer) -> None:
    one, caption = (float(x) for x in answer)
    need(0 <= one < 1e-3, "with one token nothing should change but the last digits.")
    need(caption > 100 * max(one, 1e-9), "with a caption the same damage should be seen.")


_IDLE = Exercise(
    name="03.3",
    kind="diagnose",
    solution=(2e-7, 0.3),
    in_notebook="tuple(float((predict_noise(unet, *inputs[:2], c) - predict_noise(broken, *inputs[:2], c)).norm()"
    " / predict_noise(unet, *inputs[:2], c).norm()) for c in (one, inputs[2]))",
    right="With one token queries and keys are idle, and so are their adapters: 16 % of all LoRA parameters never "
    "learn.",
    hints=(
        "Copy the U-Net and overwrite the parameters whose name holds attn2.to_q or attn2.to_k.",
        "predict_noise(network, inputs[0], inputs[1], context), once with one token and once with inputs[2].",
        "Hand in two relative changes: (with one token, with a caption).",
    ),
    mistakes=(
        Mistake((0.3, 2e-7), "The order: first with one token, then with a caption.", lambda a: a[1] < 1e-3 < a[0]),
        Mistake((0.2, 0.3), "With one token yours changes as well: were values (to_v), or the self-attention (attn1), "
                "overwritten, too?", lambda a: min(a) > 1e-3),
        Mistake((0.0, 0.0), "Nothing changes in either case: the broken copy is not the network that was asked.",
                lambda a: max(a) < 1e-6),
    ),
    test=_test_idle,
)  # fmt: skip

EXERCISES = (_LORA, _COUNT, _BOTH, _RANKS, _IDLE)
