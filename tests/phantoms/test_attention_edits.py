"""How captions correspond, what becomes of attention by it, and masks: small cases whose answers are plain."""

import pytest
import torch

from morphogen.mathematics.attention_edits import Alignment, align, edited_attention
from morphogen.mathematics.edit_masks import largest_share, scaled_contrast
from morphogen.networks.attention_control import grid_of


def spans(text, lengths=None):
    """Words, of one token each or as many as are said, between a mark at the beginning and one at the end."""
    place, found = 1, [("[CLS]", (0,))]
    for word in text.split():
        count = (lengths or {}).get(word, 1)
        found.append((word, tuple(range(place, place + count))))
        place += count
    return [*found, ("[SEP]", (place,))]


def sent(alignment):
    """Pairs of tokens with what goes from one to the other, and the tokens of their own."""
    pairs = {(int(i), int(j)): round(float(alignment.places[i, j]), 6) for i, j in alignment.places.nonzero()}
    return pairs, alignment.own.nonzero().flatten().tolist()


def test_a_swapped_word_stands_where_the_other_did():
    found = align(spans("rock with Large grains"), spans("rock with small grains"), 8)
    assert sent(found) == ({(k, k): 1.0 for k in range(6)}, [])


def test_a_word_of_more_tokens_shares_the_attention_evenly():
    found = align(spans("rock with pores"), spans("rock with vugs", {"vugs": 2}), 8)
    assert sent(found) == ({(0, 0): 1.0, (1, 1): 1.0, (2, 2): 1.0, (3, 3): 0.5, (3, 4): 0.5, (4, 5): 1.0}, [])
    back = align(spans("rock with vugs", {"vugs": 2}), spans("rock with pores"), 8)
    assert sent(back)[0] == {(0, 0): 1.0, (1, 1): 1.0, (2, 2): 1.0, (3, 3): 1.0, (4, 3): 1.0, (5, 4): 1.0}


def test_added_words_have_their_own_attention_and_words_left_out_send_none():
    added = align(spans("rock with pores"), spans("a rock with large pores"), 8, in_front=1)
    assert sent(added)[0] == {(0, 0): 1.0, (1, 1): 1.0, (2, 3): 1.0, (3, 4): 1.0, (4, 6): 1.0, (5, 7): 1.0}
    assert sent(added)[1] == [2, 5]
    less = align(spans("a rock with large pores"), spans("rock with pores"), 8)
    assert sent(less) == ({(0, 0): 1.0, (2, 1): 1.0, (3, 2): 1.0, (5, 3): 1.0, (6, 4): 1.0}, [])


def test_runs_of_words_that_differ_in_number_are_swapped_as_one():
    found = align(spans("rock with dark round pores here"), spans("rock with cracks here"), 9)
    assert {pair: share for pair, share in sent(found)[0].items() if pair[1] == 3} == {(k, 3): 1.0 for k in (3, 4, 5)}


def test_attention_is_sent_and_adds_up():
    alignment = align(spans("rock with pores"), spans("rock with large vugs", {"vugs": 3}), 8)
    batch = Alignment(alignment.places[None], alignment.own[None])
    source = torch.rand(1, 2, 4, 8)
    source[..., 5:] = 0  # beyond the caption
    source = source / source.sum(-1, keepdim=True)
    edited = edited_attention(source, torch.rand(1, 2, 4, 8), batch)
    torch.testing.assert_close(edited.sum(-1), torch.ones(1, 2, 4))  # nothing was added, and all went somewhere
    torch.testing.assert_close(edited[..., 3:7], source[..., 3:4].expand(-1, -1, -1, 4) / 4)
    own = Alignment(torch.zeros(1, 8, 8), torch.ones(1, 8))
    torch.testing.assert_close(edited_attention(source, edited, own), edited)


def test_contrast_is_scaled_without_its_extremes():
    contrast = torch.full((2, 10, 10), 1.0)
    contrast[0, 0, 0] = 101.0  # mean 2: three times that is the most
    scaled = scaled_contrast(contrast)
    assert scaled[0, 0, 0] == 1
    assert scaled[0, 5, 5] == pytest.approx(1 / 6)
    assert scaled[1, 5, 5] == pytest.approx(1 / 3)  # each image by itself
    assert not scaled_contrast(torch.zeros(1, 3, 3)).any()


def test_the_largest_share_is_that_share_and_nothing_stands_out_of_a_level():
    values = torch.randperm(400).float().view(1, 20, 20)
    found = largest_share(values, 0.25)
    assert found.sum() == 100
    assert values[found].min() > values[~found].max()
    assert not largest_share(torch.ones(1, 4, 4), 0.5).any()


def test_places_are_a_grid_of_the_shape_of_the_image():
    assert grid_of(24, (16, 24)) == (4, 6)
    with pytest.raises(ValueError, match="no grid"):
        grid_of(23, (16, 24))
