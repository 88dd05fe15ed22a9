"""Exercises that answer back. A notebook's cells take `check`, `hint`, `predict` and `reveal` from here; each chapter's
exercises stand in a module of its own, as data beside their checks; `edition` makes notebooks for learners and
instructors from the committed ones. No module of the package imports this one."""

from .desk import check, hint, predict, reveal

__all__ = ["check", "hint", "predict", "reveal"]
