"""Attention of an image that is edited, from that of its source. Hertz et al. 2022 (arXiv:2208.01626), section 3.2.

M is the attention of the source's places to the tokens of its caption, M* that of the edited image to its own. What the
edited image is given is

    Edit(M, M*) = (M A + M* diag(own)) diag(c)

A sends each token of the source's caption to the token that stands in its place: to itself where the word is kept, to
the tokens of the word that was put in its place (word swap; where it is cut into more tokens, they share its attention
evenly, so that none is lost), to nothing where it was left out. ``own`` is 1 for tokens of words that were added
(refinement): only for them the edited image decides for itself. c are weights of words (re-weighting).

Which word stands in the place of which is told by the longest runs of words that both captions share (Ratcliff,
Metzener 1988, as in Python's ``difflib``); what lies between two of them was swapped, added or left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor

Spans = Sequence[tuple[str, Sequence[int]]]
"""Words in their order, each with the numbers of its tokens; every token belongs to one."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the tokens of two captions correspond.

    Attributes:
        places: A, ``(tokens of the source, tokens of the edited)``, or with a batch in front.
        own: ``(tokens of the edited)``, 1 for those of added words, or with a batch in front.
    """

    places: Tensor
    own: Tensor


def align(before: Spans, after: Spans, count: int, in_front: int = 0) -> Alignment:
    """The alignment of two captions.

    Args:
        before: words of the source's caption.
        after: words of the edited one's.
        count: tokens that a network sees of either, those in front included; captions are filled up to it.
        in_front: tokens that stand in front of both captions and mean the same.
    """
    places, own = torch.zeros(count, count), torch.zeros(count)
    for k in range(in_front):
        places[k, k] = 1

    def tokens(words: Spans) -> list[int]:
        return [in_front + token for _, of_word in words for token in of_word]

    def send(source: Spans, edited: Spans) -> None:
        here, there = tokens(source), tokens(edited)
        if len(here) == len(there):
            places[here, there] = 1
        else:
            for token in here:
                places[token, there] = 1 / len(there)

    spelt = [[word.lower() for word, _ in words] for words in (before, after)]
    for kind, a, b, c, d in SequenceMatcher(None, spelt[0], spelt[1], autojunk=False).get_opcodes():
        if kind == "insert":
            own[tokens(after[c:d])] = 1
        elif kind != "delete":
            # Word by word where there are as many; else the words that were swapped as one.
            pairs = [(slice(a + k, a + k + 1), slice(c + k, c + k + 1)) for k in range(b - a)]
            for source, edited in pairs if b - a == d - c else [(slice(a, b), slice(c, d))]:
                send(before[source], after[edited])
    return Alignment(places, own)


def edited_attention(source: Tensor, edited: Tensor, alignment: Alignment) -> Tensor:
    """M A + M* diag(own), ``(B, heads, N, M)``.

    Args:
        source: M, ``(B, heads, N, M)``.
        edited: M*, alike.
        alignment: with a batch in front.
    """
    return source @ alignment.places[:, None] + edited * alignment.own[:, None, None]
