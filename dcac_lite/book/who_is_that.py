"""A game for the first page: which of five pictures shows the person of the query?"""

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from ..data.domains import Domain
from ..world.descriptors import stripe_histograms
from .notebook import PALETTE, name_rows, show_images
from .pages import helper, image_html, page_html

LETTERS = "ABCDE"


@dataclass(frozen=True)
class Round:
    """A query and five pictures of the gallery, by their rows; `answer` indexes the one of the same person."""

    query: int
    rows: tuple[int, ...]
    answer: int


def draw_rounds(domain: Domain, count: int = 40, seed: int = 0) -> list[Round]:
    """At most `count` queries at random, each with five pictures that another camera took: a match, and of the four
    other people whose colours, as histograms in stripes of the middle see them, are nearest to it, one picture each."""
    rng, query, gallery = np.random.default_rng(seed), domain.query, domain.gallery
    width = gallery.images.shape[3]
    colours = stripe_histograms(gallery.images[..., width // 3 : width - width // 3])
    rounds = []
    for q in rng.permutation(len(query)):
        same = gallery.pids == query.pids[q]
        match = rng.choice(np.flatnonzero(same & (gallery.cameras != query.cameras[q])))
        there = gallery.cameras == gallery.cameras[match]
        near = np.flatnonzero(~same & there & (gallery.pids > 0))  # neither junk nor distractors, who have no name
        near = near[np.argsort(((colours[near] - colours[match]) ** 2).sum(1), kind="stable")]
        _, first = np.unique(gallery.pids[near], return_index=True)  # the nearest picture of each person
        if len(first) < len(LETTERS) - 1:
            continue
        rows = [int(match), *map(int, near[np.sort(first)[: len(LETTERS) - 1]])]
        order = rng.permutation(len(rows))
        rounds.append(Round(int(q), tuple(rows[k] for k in order), int(np.flatnonzero(order == 0)[0])))
        if len(rounds) == count:
            break
    return rounds


class WhoIsThat(widgets.VBox):
    """The game: a round at a time, five buttons, and the tally. `figure()` shows rounds without their answers, for
    readers without a running kernel; `answers` names those."""

    def __init__(self, domain: Domain, count: int = 40, seed: int = 0):
        self.domain, self.rounds = domain, draw_rounds(domain, count, seed)
        self.answered: list[int] = []  # what the player said, round by round
        self._said: int | None = None
        self._shown, self._tally = widgets.HTML(), widgets.HTML()
        self._buttons = [widgets.Button(description=letter, layout={"width": "4em"}) for letter in LETTERS]
        self._next = widgets.Button(description="next", disabled=True)
        for k, button in enumerate(self._buttons):
            button.tooltip = f"picture {LETTERS[k]} shows the person of the query"
            button.on_click(lambda _, k=k: self.answer(k))
        self._next.on_click(lambda _: self.next_round())
        self._draw()
        self._tally.add_class("dcac-said")
        buttons = widgets.HBox([*self._buttons, self._next])
        super().__init__([self._shown, buttons, self._tally, helper("Who is that? A game")])
        self.add_class("dcac-explorer")

    @property
    def right(self) -> int:
        """How many of the answered rounds are right."""
        return sum(said == now.answer for said, now in zip(self.answered, self.rounds))

    def answer(self, choice: int) -> None:
        """Say that picture `choice` of the present round, 0 to 4, shows the person."""
        self.answered.append(choice)
        self._said = choice
        self._draw()

    def next_round(self) -> None:
        """Go on to the next query."""
        self._said = None
        self._draw()

    def _draw(self) -> None:
        done = self._said is not None
        now = self.rounds[min(len(self.answered) - done, len(self.rounds) - 1)]
        over = len(self.answered) == len(self.rounds)
        query, gallery = self.domain.query, self.domain.gallery
        camera = f"camera {query.cameras[now.query]}"
        shown = [image_html(query.images[now.query], f"query<br>{camera}", f"the query, {camera}", "4px solid black")]
        for k, row in enumerate(now.rows):
            mark, frame = "", "4px solid transparent"
            if done and k == now.answer:
                mark, frame = "✓ ", f"4px solid {PALETTE['right']}"
            elif done and k == self._said:
                mark, frame = "✗ ", f"4px dashed {PALETTE['wrong']}"
            camera = f"camera {gallery.cameras[row]}"
            words = f"picture {LETTERS[k]}, {camera}" + {"✓ ": ", the right one", "✗ ": ", wrong"}.get(mark, "")
            shown.append(image_html(gallery.images[row], f"{mark}{LETTERS[k]}<br>{camera}", words, frame))
        number = len(self.answered) + (not done)
        self._shown.value = page_html(f"Query {number} of {len(self.rounds)}: who is that?", "".join(shown))
        for button in self._buttons:
            button.disabled = done
        self._next.disabled = not done or over
        words = f"{self.right} of {len(self.answered)} right; guessing gives one in five."
        if done:
            verdict = "✓ Right:" if self._said == now.answer else f"✗ Not {LETTERS[self._said]}:"
            words = f"{verdict} it is {LETTERS[now.answer]}. {words}"
        else:
            words = f"Query {number}: choose a letter. {words}"
        self._tally.value = page_html(words)

    def figure(self, count: int = 3):
        """The first `count` rounds as a matplotlib figure, a row each, answers not marked."""
        query, gallery = self.domain.query, self.domain.gallery
        images, titles, frames = [], [], []
        for now in self.rounds[:count]:
            images += [query.images[now.query], *(gallery.images[row] for row in now.rows)]
            titles += ["who is that?", *LETTERS]
            frames += ["black", *["none"] * len(LETTERS)]
        drawn = show_images(np.stack(images), titles, columns=1 + len(LETTERS), scale=0.95, frames=frames)
        name_rows(drawn, [f"{k}" for k in range(1, count + 1)])
        return drawn

    def answers(self, count: int = 3) -> str:
        """The answers to `figure(count)`."""
        return ", ".join(f"{k}: {LETTERS[now.answer]}" for k, now in enumerate(self.rounds[:count], 1))

    def right_answers(self, model) -> int:
        """How many rounds a `ReIDModel` gets right: the picture whose feature is nearest by cosine."""
        gallery = self.domain.gallery
        asked = model.features(self.domain.query.images[[r.query for r in self.rounds]])
        right = 0
        for feature, now in zip(asked, self.rounds):
            right += int((model.features(gallery.images[list(now.rows)]) @ feature).argmax()) == now.answer
        return right
