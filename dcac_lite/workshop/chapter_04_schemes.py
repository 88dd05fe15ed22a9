"""Exercises of notebook 04, continued: a scheme of one's own, and what others send."""

import inspect

import torch
from torch import nn

from ..conditioning import SCHEMES
from .exercise import Exercise, Mistake, Wrong, close, need

PREDICTIONS = ()


# ---------------------------------------------------------------- a scheme of one's own


class FirstFive(nn.Module):
    """The five most probable identities only, with probabilities that add up to 1 again."""

    def __init__(self, identities, width, dim, tau_c):
        super().__init__()
        self.tau_c = tau_c
        self.prompts = nn.Parameter(torch.randn(identities, dim))

    def forward(self, logits, z, labels):
        values, who = logits.topk(5, dim=1)
        p = (values / self.tau_c).softmax(dim=1)  # [B, 5]
        return (p[:, :, None] * self.prompts[who]).sum(1)


def _scheme(rule, prompts=nn.Parameter):
    """A class whose forward is `rule(module, logits, z, labels)`, as a mistake would have it."""

    def make(self, identities, width, dim, tau_c):
        nn.Module.__init__(self)
        self.tau_c, self.prompts = tau_c, prompts(torch.randn(identities, dim))

    return type("Mine", (nn.Module,), {"__init__": make, "forward": rule})


def _mixture(self, logits):
    return (logits / self.tau_c).softmax(1) @ self.prompts


def _takes(function, *names: str) -> None:
    try:
        inspect.signature(function).bind(*names)
    except TypeError:
        takes, asked = inspect.signature(function), ", ".join(names)
        raise Wrong(f"`{function.__name__}` should take ({asked}); yours takes {takes}.") from None


def _made(answer, seed: int) -> nn.Module:
    """A scheme for 9 identities, features of width 7 and conditions of width 5."""
    torch.manual_seed(seed)
    unready = "`__init__` has to call super().__init__() first: without it no parameter can be kept."
    try:
        module = answer(9, 7, 5, 0.5)
    except AttributeError as error:
        raise Wrong(unready if "__init__() call" in str(error) else f"`__init__` stops: {error}") from None
    need(hasattr(module, "_parameters"), unready)
    return module


def _saved(answer) -> bool:
    """Whether a module that is given another one's parameters and buffers does as that one does."""
    first, second = _made(answer, 0), _made(answer, 1)
    second.load_state_dict(first.state_dict())
    logits, z = torch.randn(6, 9), torch.randn(6, 7)
    said = []
    for module in (first, second):
        torch.manual_seed(2)
        said.append(module(logits, z, torch.arange(6)))
    return close(*said)


def _test_scheme(answer) -> None:
    need(not isinstance(answer, nn.Module), "hand in the class itself, and no object that was made with it.")
    need(isinstance(answer, type) and issubclass(answer, nn.Module), "hand in a class that inherits from nn.Module.")
    _takes(answer.__init__, "self", "identities", "width", "dim", "tau_c")
    _takes(answer.forward, "self", "logits", "z", "labels")
    module, labels = _made(answer, 0), torch.arange(6)
    z, W = torch.randn(6, 7, requires_grad=True), torch.randn(9, 7)
    c = module(z @ W.T, z, labels)
    need(isinstance(c, torch.Tensor), f"`forward` should give the condition, a tensor; it gives {c!r:.60}.")
    need(c.shape == (6, 5), f"the condition has the shape {tuple(c.shape)}; the U-Net wants [B, D], {(6, 5)}.")
    need(torch.isfinite(c).all(), "the condition is not finite.")
    (gradient,) = torch.autograd.grad(c.square().sum(), z, allow_unused=True) if c.requires_grad else (None,)
    need(gradient is not None and gradient.abs().max() > 0, "no gradient reaches the feature z: it teaches nothing.")
    need(_saved(answer), "something that the condition depends on is neither a parameter nor a buffer.")
    need(answer in SCHEMES.values(), "one step is left. The class does all that a scheme must, and `Experiment` finds "
         f"a scheme by its name: SCHEMES['mine'] = {answer.__name__}.")  # fmt: skip


def _shape(answer) -> tuple:
    return tuple(answer(9, 7, 5, 0.5)(torch.randn(6, 9), torch.randn(6, 7), torch.arange(6)).shape)


_SCHEME = Exercise(
    name="04.scheme",
    kind="implement",
    solution=FirstFive,
    right="It gives a condition of the right shape, a gradient reaches the feature through it, and it is registered: "
    "run(Experiment(tier='smoke', sources='MA', conditioning=NAME)) trains it.",
    hints=(
        "Look at CorrelationAware in section 4: __init__(identities, width, dim, tau_c), forward(logits, z, labels).",
        "forward returns [B, dim], and must contain z or the logits in a way that can be differentiated.",
        "For example: topk(5) of the logits, a softmax over these five, and their prompts mixed. Then "
        "SCHEMES['mine'] = Mine.",
    ),
    mistakes=(
        Mistake(
            _scheme(lambda self, logits, z, labels: self.prompts[labels]),
            "Nothing of the encoder is in your condition: it is a function of the label, like class-wise as coded. No "
            "gradient can come back.",
            lambda answer: _silent(answer) and not _follows_logits(answer),
        ),
        Mistake(
            _scheme(lambda self, logits, z, labels: _mixture(self, logits.detach())),
            "The value depends on the logits, but no gradient comes back: something is detached, is computed under "
            "no_grad, or is an argmax.",
            lambda answer: _silent(answer) and _follows_logits(answer),
        ),
        Mistake(
            _scheme(lambda self, logits, z, labels: _mixture(self, logits)[:, None]),
            "Your condition has an axis for tokens, [B, 1, dim]. A scheme gives [B, dim]; the training adds that axis.",
            lambda answer: _shape(answer) == (6, 1, 5),
        ),
        Mistake(
            _scheme(lambda self, logits, z, labels: z),
            "Your condition has the width of z, and the U-Net wants `dim` numbers. Project it, as InstanceWise does.",
            lambda answer: _shape(answer) == (6, 7),
        ),
        Mistake(
            _scheme(lambda self, logits, z, labels: _mixture(self, logits), prompts=lambda drawn: drawn),
            "Your prompts are a plain tensor, or in a plain list, so that the module does not know of them: no "
            "optimiser trains them, and no checkpoint saves them. Wrap them: nn.Parameter(...), or several in an "
            "nn.ParameterList.",
            lambda answer: not _saved(answer),
        ),
    ),
    test=_test_scheme,
)


def _run_scheme(answer, logits, z):
    torch.manual_seed(0)
    return answer(9, 7, 5, 0.5)(logits, z, torch.arange(6))


def _silent(answer) -> bool:
    z = torch.randn(6, 7, requires_grad=True)
    c = _run_scheme(answer, z @ torch.ones(7, 9), z)
    return not c.requires_grad or torch.autograd.grad(c.sum(), z, allow_unused=True)[0] is None


def _follows_logits(answer) -> bool:
    first, second = torch.eye(6, 9), torch.eye(6, 9).flip(1)
    return not torch.equal(_run_scheme(answer, first, torch.ones(6, 7)), _run_scheme(answer, second, -torch.ones(6, 7)))


# ---------------------------------------------------------------- "Try it" of the notebook


def _test_near(answer) -> None:
    near, anybody = (float(x) for x in answer)
    need(
        0 < near and 2 < max(near, anybody) < 442,
        "a distance between two mean colours lies between 0 and 442 grey levels.",
    )
    need(near != anybody, "the two are equal, so both were measured on the same identities.")


_NEAR = Exercise(
    name="04.1",
    kind="change",
    solution=(33.0, 41.0),
    in_notebook="(near, (half[anybody] - half[labels][:, None]).norm(dim=2).mean())",
    right="Whichever is smaller in your run: with a trained model of the lite tier the runners-up are nearer. A crude "
    "measure on one portrait each; notebook 06 asks the truth.",
    hints=(
        "half: mean over rows and columns of the upper half of every portrait, [N, 3].",
        "top[i] names five identities; leave out the true one and keep four.",
        "Hand in (mean distance to the runners-up, mean distance to random identities), in grey levels.",
    ),
    mistakes=(
        Mistake((0.13, 0.16), "These are of pixels scaled to 1. Portraits are uint8: take grey levels, 0 to 255.",
                lambda answer: 0 < max(map(float, answer)) < 2),
        Mistake((0.0, 41.0), "The distance to the runners-up is 0: the true identity is compared with itself.",
                lambda answer: float(answer[0]) == 0),
        Mistake((1089.0, 1681.0), "These are squared distances; take the root.",
                lambda answer: max(map(float, answer)) > 442),
    ),
    test=_test_near,
)  # fmt: skip


def _test_inside(answer) -> None:
    aware, class_wise, instance = (float(x) for x in answer)
    need(max(aware, class_wise, instance) < 1.001, "a part of a length cannot be above 1.")
    need(min(aware, class_wise) > 0.999, "by the formulas, the first two gradients are combinations of the rows w_j.")
    need(0 < instance < 0.99, "the gradient of the instance-wise scheme does not pass the classifier.")


_INSIDE = Exercise(
    name="04.2",
    kind="change",
    solution=(1.0, 1.0, 0.8),
    in_notebook='tuple(float((by_autograd(s)[1] @ basis).norm() / by_autograd(s)[1].norm()) '
    'for s in ("correlation-aware", "class-wise", "instance-wise"))',
    right="The first two lie in the span of the classifier's rows: through a classifier nothing else can pass. The "
    "instance-wise gradient is free, for better or worse.",
    hints=(
        "torch.linalg.qr(Ws.t()).Q has orthonormal columns that span the ten rows.",
        "The length of gradient @ Q over that of the gradient is the part inside.",
        "Hand in three parts: correlation-aware, class-wise, instance-wise.",
    ),
    mistakes=(
        Mistake((0.8, 1.0, 1.0), "The order: correlation-aware, class-wise, instance-wise.",
                lambda answer: min(map(float, answer)) > 0 and float(answer[2]) > 0.999 > float(answer[0])),
        Mistake((0.0, 0.0, 0.6), "That is the part outside of the span; the part inside was asked for.",
                lambda answer: max(map(float, answer[:2])) < 0.01),
    ),
    test=_test_inside,
)  # fmt: skip


def _test_no_dose(answer) -> None:
    need(isinstance(answer, str), "hand in the name of one scheme.")
    need(answer in SCHEMES, f"{answer!r} is no scheme; there are {', '.join(SCHEMES)}.")
    need(answer == "class-wise-rescaled", "that scheme sends a gradient, and a number times it can have any length.")


_NO_DOSE = Exercise(
    name="04.3",
    kind="diagnose",
    solution="class-wise-rescaled",
    in_notebook="next(scheme for scheme in after.index if not after[scheme])",
    right="Its gradient is exactly zero, and no lambda makes zero louder. For the others lambda is the wanted ratio "
    "over their own.",
    hints=(
        "lambda is the wanted ratio divided by the scheme's own ratio.",
        "When has that division no answer? Look for a zero in the table of section 8.",
    ),
    mistakes=(
        Mistake("class-wise", "Class-wise, as the text says, is quiet at the start but not silent: p_y remains in it."),
        Mistake(
            "instance-wise", "Instance-wise is the loudest of Table 7: it needs a smaller lambda, and there is one."
        ),
        Mistake(
            "correlation-aware", "That is the scheme whose ratio the others should have: its lambda is the tier's."
        ),
    ),
    test=_test_no_dose,
)


EXERCISES = (_SCHEME, _NEAR, _INSIDE, _NO_DOSE)
