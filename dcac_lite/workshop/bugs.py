"""Planted bugs: each case is something broken, what one sees of it, and the reasoning that leads from the one to the
other, as TROUBLESHOOTING.md has it. The answer is the repaired function."""

from dataclasses import dataclass

from . import bugs_search, bugs_teaching, bugs_training
from .exercise import Exercise

PREDICTIONS = ()


@dataclass(frozen=True)
class Case:
    """story: what somebody reports. shows: the call that prints the symptoms of the learner's function."""

    exercise: Exercise
    story: str
    shows: str


CASES = (
    Case(
        bugs_training.AXIS,
        "The first ID loss is not ln 24, though the classifier knows nothing yet.",
        "training(id_loss=id_loss)",
    ),
    Case(
        bugs_training.FIRST,
        "The first ID loss is enormous. Later all is well. Does it matter?",
        "training(first_classifier=first_classifier)",
    ),
    Case(
        bugs_training.SMOOTHING,
        "The last ID loss is lower than in the healthy run. A better model?",
        "training(id_loss=smoothed_loss)",
    ),
    Case(
        bugs_training.ORDER,
        "The ID loss is as it should be. The prototype loss begins higher than in the healthy run, and ends lower.",
        "training(memory_step=memory_step)",
    ),
    Case(bugs_training.WRONG_SIDE, "The prototype loss does not move at all.", "training(memory_step=contrast_step)"),
    Case(bugs_training.BATCH, "Nothing is learned: the ID loss stays where it was.", "training(take_batch=take_batch)"),
    Case(
        bugs_search.CAMERA,
        "The mAP of the trained features is far above what colleagues get with the same features. Publish it?",
        "searching(search_score)",
    ),
    Case(
        bugs_search.FAR,
        "An mAP of almost nothing, from an encoder that names every training picture right.",
        "searching(list_score)",
    ),
    Case(
        bugs_search.NECK,
        "The mAP is fine in the benchmark and hopeless in the demo, where pictures come in twos.",
        "one_by_one(features)",
    ),
    Case(
        bugs_teaching.SCALING,
        "The diffusion loss is above 1, and the U-Net's weights were loaded: somebody checked.",
        "denoising(latents)",
    ),
    Case(bugs_teaching.TOLD, "DCAC trains exactly as the baseline does, whatever lambda is.", "teaching(told)"),
    Case(bugs_teaching.START, "The adapter starts as it should, and never learns.", "adapting(start)"),
    Case(
        bugs_training.SCHEDULE,
        "The ID loss falls in the first steps and then hardly at all. Twice as many epochs hardly help.",
        "training(train=train)",
    ),
    Case(
        bugs_search.HUBS,
        "A few gallery pictures come first for nearly everybody, whoever is asked for.",
        "ranking(ranked)",
    ),
    Case(
        bugs_teaching.TIMESTEP,
        "The published U-Net, frozen and unchanged, on latents of the right size: and its error is far above the "
        "published one.",
        "telling(noise_loss)",
    ),
)

EXERCISES = tuple(case.exercise for case in CASES)
