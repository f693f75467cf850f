"""Rows made of other rows or of plain texts: where a method of the literature finds its positives.

Each function returns a new list and draws from `seed` alone, the same again for the same input. What a view changes is
words: a word is what stands between blanks, so these views are for languages that write blanks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from sbert_lab.corpus import cut_sentences
from sbert_lab.data import Row
from sbert_lab.tokens import check_text

Change = Callable[[str, Random], str]  # of a text
PUNCTUATION = ".,;:!?\"'()"  # around a word: it is never changed


def twice(texts: Iterable[str]) -> list[Row]:
    """Each text with itself: in training, dropout makes two vectors of it (SimCSE: Gao et al. 2021, section 3)."""
    return [Row((text, text)) for text in _checked(texts)]


def crops(
    texts: Iterable[str], seed: int, shortest: float = 0.05, longest: float = 0.5, deletion: float = 0.1
) -> list[Row]:
    """Two spans of each text, each drawn by itself, `shortest` to `longest` of its words, some of them deleted.

    Contriever's views: Izacard et al. 2022, sections 3 and 4 (there 5 to 50 % and 10 %, of tokens). A span keeps at
    least one word; a text without one is left out. Raises ValueError unless 0 < shortest <= longest <= 1 and
    0 <= deletion < 1.
    """
    if not 0 < shortest <= longest <= 1 or not 0 <= deletion < 1:
        raise ValueError(
            f"shortest={shortest}, longest={longest}, deletion={deletion}: give shares with shortest <= longest"
        )
    random = Random(seed)

    def crop(words: list[str]) -> str:
        length = max(1, round(random.uniform(shortest, longest) * len(words)))
        start = random.randint(0, len(words) - length)
        span = words[start : start + length]
        kept = [word for word in span if random.random() >= deletion]
        return " ".join(kept or span[:1])

    return [Row((crop(words), crop(words))) for words in map(str.split, _checked(texts)) if words]


def inverse_cloze(documents: Iterable[str], seed: int, keep: float = 0.1) -> list[Row]:
    """A sentence of each document, and the rest of it; in a share `keep` the sentence stays in: Lee et al. 2019, §3.

    A document of a single sentence is left out, for it has no rest.
    """
    random = Random(seed)
    rows = []
    for document in _checked(documents):
        sentences = cut_sentences(document.splitlines())
        if len(sentences) > 1:
            number = random.randrange(len(sentences))
            rest = sentences if random.random() < keep else sentences[:number] + sentences[number + 1 :]
            rows.append(Row((sentences[number], " ".join(rest))))
    return rows


def prefixed(rows: Iterable[Row], *prefixes: str) -> list[Row]:
    """The rows with a prefix before each text, one prefix a column: E5's "query: " and "passage: " (Wang et al. 2022).

    Raises ValueError for a row with another number of texts.
    """
    found = []
    for row in rows:
        if len(row.texts) != len(prefixes):
            raise ValueError(
                f"{len(prefixes)} prefixes for {len(row.texts)} texts, {row.texts!r:.60}: give one for each"
            )
        found.append(Row(tuple(p + text for p, text in zip(prefixes, row.texts, strict=True)), row.label))
    return found


def augmented(rows: Sequence[Row], change: Change, seed: int, copies: int = 1) -> list[Row]:
    """The rows, and `copies` of each whose texts went through `change(text, random)`, with the label they had.

    >>> augmented(rows, typos, seed=0)
    """
    random = Random(seed)
    changed = [Row(tuple(change(text, random) for text in row.texts), row.label) for row in rows for _ in range(copies)]
    return [*rows, *changed]


def typos(text: str, random: Random, rate: float = 0.15) -> str:
    """The text with a share `rate` of its longer words mistyped: two neighbouring letters swapped, or one left out.

    The first letter of a word stays, as in most human typing errors; words of fewer than four letters and the
    punctuation around a word stay whole.
    """

    def mistyped(word: str) -> str:
        core = word.strip(PUNCTUATION)
        if len(core) < 4 or random.random() >= rate:
            return word
        at = random.randrange(1, len(core) - 1)
        swapped = core[at + 1] + core[at] if random.random() < 0.5 else core[at + 1]
        return word.replace(core, core[:at] + swapped + core[at + 2 :])

    return " ".join(map(mistyped, text.split(" ")))


def synonyms(table: Mapping[str, Sequence[str]], rate: float = 0.5) -> Change:
    """A change that replaces a share `rate` of the words in `table`, lower-case, by one of their synonyms there.

    A capital at the beginning and punctuation around the word stay.
    """

    def change(text: str, random: Random) -> str:
        words = text.split(" ")
        for number, word in enumerate(words):
            core = word.strip(PUNCTUATION)
            known = table.get(core.lower())
            if known and random.random() < rate:
                new = random.choice(known)
                words[number] = word.replace(core, new.capitalize() if core[0].isupper() else new)
        return " ".join(words)

    return change


def _checked(texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, str):
        raise TypeError(f"texts is the str {texts!r:.40}: give a list of texts")
    for number, text in enumerate(texts):
        check_text(text, f"text {number}")
        yield text
