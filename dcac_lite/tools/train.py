"""Train one experiment from the command line, on a CPU, a GPU or several.

    python -m dcac_lite train --sources MA --conditioning correlation-aware --seed 1 --targets D MS C3
    accelerate launch -m dcac_lite train --tier full --sources MS --precision bf16 --targets MA D C3

The run lands where `Experiment` and `run` of a notebook find it. Every field of an `Experiment` is an
option; a killed run resumes when the same command is given again."""

import argparse
from dataclasses import fields
from typing import get_args, get_type_hints

from ..experiment import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one for every field of `Experiment`, then how the machine is used."""
    hints = get_type_hints(Experiment)
    group = parser.add_argument_group("experiment", "what is left out takes the tier's value")
    for field in fields(Experiment):
        if field.name == "sources":
            group.add_argument("--sources", nargs="+", default=list(field.default), metavar="NAME", help="default: MA")
            continue
        if field.name == "milestones":
            about = "default: the tier's, moved with the epochs"
            group.add_argument("--milestones", nargs="*", type=int, metavar="EPOCH", help=about)
            continue
        kind = next(t for t in (*get_args(hints[field.name]), hints[field.name]) if t in (int, float, str))
        shown = "the tier's" if field.default is None else field.default
        flag = "--" + field.name.strip("_").replace("_", "-")
        group.add_argument(flag, dest=field.name, type=kind, default=field.default, help=f"default: {shown}")
    group = parser.add_argument_group("run")
    group.add_argument("--targets", nargs="*", default=[], metavar="NAME", help="data sets to evaluate on afterwards")
    group.add_argument(
        "--resume", default="auto", choices=("auto", "required", "never"), help="from a checkpoint; default: auto"
    )
    group.add_argument("--checkpoint-every", type=int, metavar="STEPS", help="besides the checkpoint after every epoch")
    group = parser.add_argument_group("machine", "none of it changes the result beyond rounding")
    group.add_argument("--gradient-checkpointing", action="store_true", help="less memory, more time")
    group.add_argument("--compile", action="store_true", help="torch.compile the encoder and the U-Net")
    group.add_argument(
        "--no-channels-last", dest="channels_last", action="store_false", help="memory format of the U-Net on a GPU"
    )
    group.add_argument(
        "--tracker", metavar="NAME", help="log the losses with a tracker of accelerate's, such as tensorboard"
    )
    parser.set_defaults(call=_train)


def _train(arguments: argparse.Namespace) -> None:
    from accelerate import PartialState

    from ..data.load import load_domain
    from ..runs import run
    from ..trainer import Machine

    experiment = Experiment(**{f.name: getattr(arguments, f.name) for f in fields(Experiment)})
    for name in (*experiment.sources, *arguments.targets):  # what is not there stops us now, not after the training
        load_domain(name, experiment.tier, experiment.test_resize)
    machine = Machine(**{f.name: getattr(arguments, f.name) for f in fields(Machine)})
    result = run(experiment, resume=arguments.resume, checkpoint_every=arguments.checkpoint_every, machine=machine)
    if PartialState().is_main_process:  # as `run` began it
        print(f"Run: {result.folder} ({result.provenance['seconds']:.0f} s of training)")
        if arguments.targets:
            print(result.evaluate(*arguments.targets).round(1).to_string(index=False))
