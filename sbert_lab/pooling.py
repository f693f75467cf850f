"""From the vectors of a text's tokens to one vector for the text.

Written once, over ragged tokens: there is no padding here that could leak into a mean. The names are the field's; mean,
max and [CLS] are compared in Reimers & Gurevych 2019, section 6 (Table 6). `POOLINGS` holds those that need nothing but
the vectors; `attention` needs a score for each token too, which an encoder learns.
"""

from torch import Tensor

from sbert_lab.tokens import Tokens


def _sum(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The sum of each text's token vectors: (T, D) -> (B, D)."""
    return hidden.new_zeros(len(tokens), hidden.shape[1]).index_add(0, tokens.rows, hidden)


def _lengths(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The lengths as a column of numbers to divide by: (B, 1)."""
    return tokens.lengths.to(hidden)[:, None]


def mean(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The average of the token vectors."""
    return _sum(hidden, tokens) / _lengths(hidden, tokens)


def mean_sqrt_len(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The sum divided by √length: longer texts keep longer vectors."""
    return _sum(hidden, tokens) / _lengths(hidden, tokens).sqrt()


def max(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The largest value of each dimension."""
    rows = tokens.rows[:, None].expand_as(hidden)  # (T, D)
    lowest = hidden.new_full((len(tokens), hidden.shape[1]), float("-inf"))
    return lowest.scatter_reduce(0, rows, hidden, "amax")


def cls(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The first token, which is [CLS] in BERT."""
    return hidden[tokens.offsets[:-1]]


def last(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The last token: [SEP] in BERT, the end of text in T5."""
    return hidden[tokens.offsets[1:] - 1]


def attention(hidden: Tensor, tokens: Tokens, scores: Tensor) -> Tensor:
    """The average weighted by the softmax of `scores` (T,) over each text's tokens; equal scores give the mean."""
    highest = scores.new_full((len(tokens),), float("-inf")).scatter_reduce(0, tokens.rows, scores.detach(), "amax")
    weights = (scores - highest[tokens.rows]).exp()[:, None]  # (T, 1); the highest is 1, so that none overflows
    return _sum(weights * hidden, tokens) / _sum(weights, tokens)


POOLINGS = {pooling.__name__: pooling for pooling in (mean, cls, max, mean_sqrt_len, last)}
