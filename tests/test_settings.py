"""The sentence for a number out of range, and what counts as a number."""

import math

import numpy as np
import pytest

from sbert_lab.settings import number, whole


@pytest.mark.parametrize("value", [1, 2**60 + 1, np.int64(7), np.uint8(7)])
def test_whole_numbers_pass_as_ints(value) -> None:
    assert whole("k", value) == int(value) and type(whole("k", value)) is int


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5), np.int64(3)])
def test_numbers_pass_as_floats(value) -> None:
    assert number("margin", value, least=0.5) == float(value) and type(number("margin", value, least=0.5)) is float


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: whole("k", 0), ValueError, "k is 0: give a whole number of at least 1"),
        (lambda: whole("k", 2.0), ValueError, "k is 2.0: give a whole number of at least 1"),
        (lambda: whole("k", math.nan), ValueError, "k is nan: give a whole number of at least 1"),
        (lambda: whole("k", "3"), TypeError, "k is '3': give a whole number of at least 1"),
        (lambda: whole("k", None), TypeError, "k is None: give a whole number of at least 1"),
        (lambda: whole("k", True), TypeError, "k is True: give a whole number of at least 1"),
        (lambda: whole("seed", 9, 0, 9), ValueError, "seed is 9: give a whole number of at least 0 and below 9"),
        (lambda: number("scale", 0, above=0), ValueError, "scale is 0: give a finite number above 0"),
        (lambda: number("scale", math.inf, above=0), ValueError, "scale is inf: give a finite number above 0"),
        (lambda: number("scale", math.nan, above=0), ValueError, "scale is nan: give a finite number above 0"),
        (lambda: number("margin", -1, least=0), ValueError, "margin is -1: give a finite number of at least 0"),
        (lambda: number("margin", 1, least=0, below=1), ValueError, "of at least 0 and below 1"),
        (lambda: number("margin", False, least=0), TypeError, "margin is False: give a finite number of at least 0"),
        (lambda: number("margin", 1j, least=0), TypeError, "margin is 1j: give a finite number of at least 0"),
    ],
)
def test_what_does_not_fit_is_named_in_one_sentence(call, error, sentence: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).endswith(sentence)
