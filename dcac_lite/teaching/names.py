"""The names of the arms, and where each is found. An arm is a value of `Experiment.conditioning` beside the paper's
schemes: what an experiment changes to learn whether, and why, a diffusion model teaches a Re-ID encoder.

An arm's module is loaded when it is asked for, by its name: arms read experiments and data, which know nothing of
them, and no run but an arm's own depends on its code (`code_key.arm_key`)."""

from importlib import import_module

from .arm import Arm

#: Module of this folder by the name of the arm. Each module holds the `Arm` of its names in `ARMS`.
ARMS: dict[str, str] = {
    # placebos: a gradient as loud as DCAC's that says nothing
    "random-gradient": "placebo",
    "condition-shuffled": "placebo",
    "scrambled-names": "placebo",
    "random-probabilities": "placebo",
    # softness without, or instead of, a teacher
    "sum-p-squared": "softness",
    "label-smoothing": "softness",
    "confidence-penalty": "softness",
    "soft-looks": "softness",
    # prompts that the U-Net can read
    "captions-true": "captions",
    "captions-predicted": "captions",
    "captions-given": "captions",
    "captions-shuffled": "captions",
    "captions-pooled": "captions",
    "captions-anchored": "captions",
    "instance-readable": "captions",
    # a teacher that knows nothing
    "random-unet": "teacher",
    "captions-random-unet": "teacher",
    # the paper's own prompts, given time to become readable
    "fast-prompts": "reading",
    "learned-first": "reading",
    # the right condition against others, and across pictures of one person
    "contrast": "contrast",
    "captions-contrast": "contrast",
    "other-view": "views",
    "captions-other-view": "views",
}


def find(conditioning: str) -> Arm | None:
    """The arm of that name, None for the baseline and the paper's schemes."""
    if conditioning not in ARMS:
        return None
    return import_module(f"{__package__}.{ARMS[conditioning]}").ARMS[conditioning]
