"""The benchmark's texts: natural ones where SBERT_LAB_DATA names a folder of public sets, generated ones elsewhere.

Lengths decide the result, so they are printed with it. Generated texts are words of the course's own tour sentences in
random order, their lengths log-normal, near those of the natural texts; what a text says does not change its speed, and
no quality is measured here. No sentence of a public set is kept in this repository.
"""

import csv
import gzip
import lzma
import os
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from sbert_lab.data import NLI_LABELS, Row
from sbert_lab.encoder import Encoder

WINDOW = 32  # the largest batch that is measured
LONGEST = 150  # words: within the encoder's limit, so that no text is cut
WORDS = [
    word
    for line in Path(__file__).parents[1].joinpath("data", "tour", "sentences.tsv").read_text("utf-8").splitlines()[1:]
    for word in line.split("\t")[1].split()
]


Texts = dict[str, list]  # "mixed" and "short" texts; "pairs" that belong together, and short ones "labelled" as in NLI


def texts(count: int) -> tuple[str, Texts]:
    """Where they are from, and `count` of each kind, always the same ones; fewer where the natural sets hold fewer."""
    folder = os.environ.get("SBERT_LAB_DATA")
    return _natural(Path(folder), count) if folder else _generated(count)


def as_among_many(many: list[str], count: int) -> list[str]:
    """`count` texts that pad as all of `many` would: windows of 32 neighbours by characters, evenly spaced.

    A few texts drawn one by one are less alike when sorted and pad more: 256 of 8,000 mixed ones 1.42, not 1.27.
    """
    by_length, windows = sorted(many, key=len, reverse=True), -(-count // WINDOW)
    starts = [round((number + 0.5) * len(many) / windows - WINDOW / 2) for number in range(windows)]
    return [text for start in starts for text in by_length[max(start, 0) : start + WINDOW]]


def of_length(encoder: Encoder, length: int) -> str:
    """Random words, exactly `length` tokens with the special ones."""
    whole = [word for word in WORDS if word.isalpha() and count_tokens(encoder, [word]) == 3]
    return " ".join(random.Random(length).choices(whole, k=length - 2))


def count_tokens(encoder: Encoder, some: Sequence[str]) -> int:
    """All tokens, the special ones included."""
    return int(encoder.tokenize(some)[0].lengths.sum())


def described(encoder: Encoder, items: Sequence[str | Row]) -> str:
    """How many texts of how many tokens."""
    flat = [text for item in items for text in ([item] if isinstance(item, str) else item.texts)]
    lengths = sorted(encoder.tokenize(flat)[0].lengths.tolist())
    low, high = lengths[len(lengths) // 20], lengths[-1 - len(lengths) // 20]
    return f"{len(lengths):,} texts, median {median(lengths):.0f} tokens, nine in ten within {low} to {high}"


def _natural(folder: Path, count: int) -> tuple[str, Texts]:
    captions = _table(folder / "captions/multi30k_captions_train.tsv.gz")
    mnli = _table(folder / "nli/mnli_train_part.tsv.gz")
    snli = _table(folder / "nli/snli_train_part.tsv.gz")
    science = _table(folder / "qa_pairs/sciq_question_support.tsv.gz")
    with lzma.open(folder / "corpus/simplewiki.txt.xz", "rt", encoding="utf-8") as file:
        paragraphs = [line.strip() for line in islice(file, 60_000) if 20 <= len(line.split()) <= LONGEST]
    short = [row[f"en{number}"] for row in captions for number in range(1, 6)]
    alike = [Row((row["en1"], row["en2"])) for row in captions]
    entailed = [Row((row["premise"], row["hypothesis"])) for row in mnli if row["label"] == NLI_LABELS[0]]
    answers = [Row((row["question"], row["support"])) for row in science if 0 < len(row["support"].split()) <= LONGEST]
    labelled = [Row((row["premise"], row["hypothesis"]), NLI_LABELS.index(row["label"])) for row in snli]
    return "natural (captions, NLI premises, encyclopedia; pairs: captions, NLI, science questions; labelled: SNLI)", {
        "mixed": _sample(count, short, [row["premise"] for row in mnli], paragraphs),
        "short": _sample(count, short),
        "pairs": _sample(count, alike, entailed, answers),
        "labelled": _sample(count, labelled),
    }


def _generated(count: int) -> tuple[str, Texts]:
    generator = random.Random(0)

    def draw(middle: int, sigma: float, shortest: int, longest: int) -> list[str]:
        drawn = (middle * generator.lognormvariate(0, sigma) for _ in range(count))
        return [" ".join(generator.choices(WORDS, k=round(min(max(size, shortest), longest)))) for size in drawn]

    mixed, short = (22, 0.8, 3, LONGEST), (11, 0.3, 5, 25)
    return f"generated (numbers of words log-normal; median, sigma, least, most: mixed {mixed}, short {short})", {
        "mixed": draw(*mixed),
        "short": draw(*short),
        "pairs": [Row(pair) for pair in zip(draw(*mixed), draw(*mixed), strict=True)],
        "labelled": [Row(pair, generator.randrange(3)) for pair in zip(draw(*short), draw(*short), strict=True)],
    }


def _table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _sample(count: int, *sources: list) -> list:
    """As many from each source, `count` in all, shuffled."""
    share = -(-count // len(sources))
    chosen = [item for source in sources for item in random.Random(0).sample(source, min(share, len(source)))]
    return random.Random(0).sample(chosen, min(count, len(chosen)))
