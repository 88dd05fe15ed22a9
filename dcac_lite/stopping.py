"""Stopping a run from outside. Schedulers send SIGUSR1 some time before a job's time is over, and SIGTERM when its
machine is wanted for another; a run that listens finishes its step, saves a checkpoint and stops."""

import signal


class Stopped(RuntimeError):
    """A run was asked to stop and has saved a checkpoint; asked for again, it goes on from there."""


_asked = False


def listen() -> None:
    """From now on the two signals end no process but are kept for `asked`. For the main thread."""

    def keep(number, frame) -> None:
        global _asked
        _asked = True

    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, keep)


def asked() -> bool:
    """Whether one of the signals has come since `listen`."""
    return _asked
