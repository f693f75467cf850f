"""A ragged batch holds what the tokenizer made, and cutting, joining and reordering lose nothing.

The oracle is a plain list of lists of ids: every method has a one-line answer in it.
"""

from __future__ import annotations

import random

import pytest
import torch
from tiny import TEXTS, WORDS, tiny_tokenizer
from tokenizers import processors

from sbert_lab import tokens as tokens_file
from sbert_lab.tokens import Tokens


def random_lists(seed: int, texts: int = 12) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(1, 90) for _ in range(draw.randrange(1, 9))] for _ in range(texts)]


def from_lists(lists: list[list[int]]) -> Tokens:
    """Ids as given; the segments are the ids plus 100, so that a mix-up of the two shows."""
    ids = torch.tensor([x for one in lists for x in one])
    return Tokens(ids, torch.tensor([len(one) for one in lists]), ids + 100)


def to_lists(tokens: Tokens) -> list[list[int]]:
    assert torch.equal(tokens.segments, tokens.ids + 100)
    assert int(tokens.lengths.sum()) == len(tokens.ids)
    return [part.tolist() for part in tokens.ids.split(tokens.lengths.tolist())]


SEEDS = pytest.mark.parametrize("seed", range(5))


# From texts


@pytest.mark.parametrize("max_length", [3, 5, 8, 64])
def test_from_texts_is_the_tokenizers_own_call(max_length: int) -> None:
    tokenizer = tiny_tokenizer()
    tokens, cut = Tokens.from_texts(tokenizer, TEXTS, max_length)
    expected = tiny_tokenizer()(TEXTS, truncation=True, max_length=max_length, return_token_type_ids=True)
    whole = tiny_tokenizer()(TEXTS).input_ids
    assert [part.tolist() for part in tokens.ids.split(tokens.lengths.tolist())] == expected.input_ids
    assert tokens.segments.tolist() == [x for one in expected.token_type_ids for x in one]
    assert cut == sum(len(ids) > max_length for ids in whole)
    assert cut == {3: 5, 5: 2, 8: 1, 64: 0}[max_length]  # counted by hand on TEXTS


def test_token_types_are_kept() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokens, _ = Tokens.from_texts(tokenizer, ["a cat", ""], 64)
    assert tokens.segments.tolist() == [0, 1, 1, 1, 0, 1]


def test_settings_saved_in_a_tokenizer_do_not_leak_in() -> None:
    # The published all-MiniLM tokenizer carries a truncation and a padding to a fixed length.
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.enable_padding(length=40, pad_id=1, pad_token="[PAD]")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokens, cut = Tokens.from_texts(tokenizer, ["the cat sat on the mat", "a"], 64)
    assert (tokens.lengths.tolist(), cut) == ([8, 3], 0)


def test_blocks_of_texts_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = Tokens.from_texts(tiny_tokenizer(), TEXTS * 3, 6)
    monkeypatch.setattr(tokens_file, "ENCODINGS_AT_ONCE", 4)
    parts, cut_in_parts = Tokens.from_texts(tiny_tokenizer(), TEXTS * 3, 6)
    assert torch.equal(whole.ids, parts.ids) and torch.equal(whole.lengths, parts.lengths)
    assert cut == cut_in_parts > 0


def test_a_tokenizer_that_makes_no_token_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    assert len(Tokens.from_texts(tokenizer, ["cat", "dog"], 64)[0]) == 2
    with pytest.raises(ValueError, match="text 1 has no tokens"):
        Tokens.from_texts(tokenizer, ["cat", "", "dog"], 64)


# Cutting, joining, reordering


@SEEDS
def test_slices_are_list_slices(seed: int) -> None:
    lists = random_lists(seed)
    tokens = from_lists(lists)
    ends = [None, -20, -3, 0, 1, 5, 11, 12, 40]
    for cut in (slice(first, last) for first in ends for last in ends):
        assert to_lists(tokens[cut]) == lists[cut]


def test_a_slice_with_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="step 2"):
        from_lists(random_lists(0))[::2]


@SEEDS
def test_take_is_list_indexing(seed: int) -> None:
    lists = random_lists(seed)
    order = [random.Random(seed).randrange(len(lists)) for _ in range(20)]  # with repeats
    assert to_lists(from_lists(lists).take(torch.tensor(order))) == [lists[row] for row in order]


@SEEDS
def test_take_and_its_inverse_give_the_batch_back(seed: int) -> None:
    tokens = from_lists(random_lists(seed))
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))
    assert to_lists(tokens.take(order).take(order.argsort())) == to_lists(tokens)


@SEEDS
def test_concat_is_list_addition(seed: int) -> None:
    parts = [random_lists(seed + 10 * part, texts=part + 1) for part in range(3)]
    joined = Tokens.concat([from_lists(part) for part in parts])
    assert to_lists(joined) == parts[0] + parts[1] + parts[2]


@SEEDS
@pytest.mark.parametrize("budget", [1, 8, 13, 1000])
def test_split_is_greedy_and_loses_nothing(seed: int, budget: int) -> None:
    tokens = from_lists(random_lists(seed, texts=20))
    parts = tokens.split(budget)
    assert to_lists(Tokens.concat(parts)) == to_lists(tokens)
    assert all(len(part) for part in parts), "a group of no texts"
    sizes = [len(part.ids) for part in parts]
    assert all(size <= budget or len(part) == 1 for size, part in zip(sizes, parts, strict=True))
    for size, following in zip(sizes, parts[1:], strict=False):
        assert size + int(following.lengths[0]) > budget, "the next text would still have fitted in"


def test_a_text_longer_than_the_budget_stands_alone() -> None:
    parts = from_lists([[1] * 2, [2] * 9, [3] * 2, [4] * 2]).split(5)
    assert [part.lengths.tolist() for part in parts] == [[2], [9], [2, 2]]


def test_no_texts_split_into_nothing() -> None:
    assert from_lists([[1], [2]])[:0].split(5) == []


# Views


@SEEDS
def test_padded_is_the_rectangle(seed: int) -> None:
    lists = random_lists(seed)
    ids, mask, segments = from_lists(lists).padded(pad_id=7)
    longest = max(map(len, lists))
    assert ids.tolist() == [one + [7] * (longest - len(one)) for one in lists]
    assert mask.tolist() == [[True] * len(one) + [False] * (longest - len(one)) for one in lists]
    assert segments.tolist() == [[x + 100 for x in one] + [0] * (longest - len(one)) for one in lists]


@SEEDS
def test_rows_positions_offsets_and_runs_are_loops(seed: int) -> None:
    lists = random_lists(seed)
    tokens = from_lists(lists)
    assert len(tokens) == len(lists)
    assert tokens.rows.tolist() == [row for row, one in enumerate(lists) for _ in one]
    assert tokens.positions.tolist() == [place for one in lists for place in range(len(one))]
    assert tokens.offsets.tolist() == [sum(map(len, lists[:row])) for row in range(len(lists) + 1)]


@SEEDS
def test_runs_are_the_neighbours_of_equal_length(seed: int) -> None:
    lists = random_lists(seed, texts=30)
    runs = from_lists(lists).runs
    assert [length for length, count in runs for _ in range(count)] == [len(one) for one in lists]
    assert all(one[0] != following[0] for one, following in zip(runs, runs[1:], strict=False))


def test_moving_keeps_the_lengths_on_the_cpu() -> None:
    tokens = from_lists(random_lists(0)).to("meta")
    assert (tokens.ids.device.type, tokens.segments.device.type) == ("meta", "meta")
    assert tokens.lengths.device.type == "cpu"


def test_long_batches_of_real_words_round_trip() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(12))) for _ in range(200)]
    tokens, _ = Tokens.from_texts(tiny_tokenizer(), texts, 64)
    decoded = [
        tiny_tokenizer().decode(part, skip_special_tokens=True) for part in tokens.ids.split(tokens.lengths.tolist())
    ]
    assert decoded == texts
