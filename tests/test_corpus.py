"""Text to token ids and windows: against naive loops over the sentences."""

import lzma

import numpy as np
import pytest
import torch
from tiny import VOCABULARY, tiny_tokenizer
from tokenizers import models
from transformers import AutoTokenizer

from sbert_lab import corpus

DOCUMENTS = [
    ["The cat sat. The dog ran on the mat!", "A red house in the rain."],
    ["Blue tree."],
    ["The old cat. The old dog. The old tree. The old house. The old mat.", "A dog ran in rain. Red"],
]
SENTENCES = [corpus.cut_sentences(document) for document in DOCUMENTS]
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> corpus.Corpus:
    return corpus.Corpus.write(tmp_path_factory.mktemp("corpus"), DOCUMENTS, tiny_tokenizer())


def ids(sentence: str) -> list[int]:
    return tiny_tokenizer()(sentence, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", ["text.txt", "text.txt.xz"])
def test_documents_are_parted_by_empty_lines(tmp_path, name):
    text = "\n\nOne.\nTwo.\n\n\nThree.\n"
    with lzma.open(tmp_path / name, "wt") if name.endswith("xz") else open(tmp_path / name, "w") as file:
        file.write(text)
    assert list(corpus.read_documents(tmp_path / name)) == [["One.", "Two."], ["Three."]]


def test_sentences_end_where_a_new_one_begins():
    text = 'It cost 3.5 francs. "Why?" he asked. (Nobody knew.) 40 came! e.g. this one stays whole.'
    found = ["It cost 3.5 francs.", '"Why?" he asked.', "(Nobody knew.) 40 came! e.g. this one stays whole."]
    assert corpus.cut_sentences([text]) == found
    assert corpus.cut_sentences(["He slept. She ran."]) == ["He slept.", "She ran."]
    assert corpus.cut_sentences(["at 8 a.m. we left"]) == ["at 8 a.m. we left"]


def test_a_learnt_tokenizer_is_berts(tmp_path):
    texts = ["Hugging the cats, hugging the dogs", "the cat and the dog and the Café"] * 5
    tokenizer = corpus.learn_wordpiece(texts, 60, longest=32)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for name in (tokenizer, again):
        assert len(name) <= 60 and name.model_max_length == 32
        assert name.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens = name.convert_ids_to_tokens(name("The CAFÉ")["input_ids"])
        assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
        assert "".join(token.removeprefix("##") for token in tokens[1:-1]) == "thecafe"
        assert name("a", "b")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_every_sentence_is_kept_in_order(written):
    starts, documents = written.sentences.tolist(), written.documents.tolist()
    whole = [sentence for document in SENTENCES for sentence in document]
    assert [written.ids[a:b].tolist() for a, b in zip(starts, starts[1:], strict=False)] == [ids(s) for s in whole]
    assert documents == np.cumsum([0, *map(len, SENTENCES)]).tolist()
    assert written.ids.dtype == np.uint16 and isinstance(written.ids, np.memmap)


def naive(longest: list[int]) -> list[list[list[int]]]:
    """The windows as lists of sentences' ids, cut at the room."""
    found = []
    for number, document in enumerate(SENTENCES):
        room, window = longest[number % len(longest)] - 3, []
        for sentence in map(ids, document):
            if window and sum(map(len, window)) + len(sentence) > room:
                found.append(window)
                window = []
            window.append(sentence[:room])
        found.append(window)
    return found


@pytest.mark.parametrize("longest", [[12], [16], [200], [12, 200], [7]])
def test_windows_are_whole_sentences_of_one_document(written, longest):
    windows = written.windows(longest)
    expected = naive(longest)
    assert [written.ids[a:c].tolist() for a, _, c in windows] == [sum(window, []) for window in expected]
    for (start, border, end), window in zip(windows.tolist(), expected, strict=True):
        inner = np.cumsum([len(sentence) for sentence in window])[:-1]
        middle = (end - start) / 2
        best = min((abs(place - middle) for place in inner), default=abs(end - start - middle))
        assert abs(border - start - middle) == best
        assert border - start in [*inner, end - start]


def rows(tokens) -> list[list[int]]:
    return [tokens[i : i + 1].ids.tolist() for i in range(len(tokens))]


def test_pairs_without_a_swap_are_the_text_itself(written):
    windows = written.windows([24])
    tokens, labels = written.pairs(windows, tiny_tokenizer(), swap=0.0)
    for row, segments, label, (start, border, end) in zip(
        rows(tokens), tokens.segments.split(tokens.lengths.tolist()), labels.tolist(), windows, strict=True
    ):
        a, b = written.ids[start:border].tolist(), written.ids[border:end].tolist()
        assert row == [CLS, *a, SEP] + ([*b, SEP] if b else [])
        assert segments.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + bool(b))
        assert label == (0 if b else -100)
    assert set(labels.tolist()) == {0, -100}


def test_swapped_pairs_keep_their_first_piece_and_take_anothers_second(written):
    windows = written.windows([24])
    tokens, labels = written.pairs(windows, tiny_tokenizer(), swap=1.0)
    pieces = [written.ids[border:end].tolist() for _, border, end in windows]
    assert (labels == 1).sum() == sum(map(bool, pieces)) // 2 * 2  # an odd one has nobody to exchange with
    for row, label, own, (start, border, _) in zip(rows(tokens), labels.tolist(), pieces, windows, strict=True):
        a = written.ids[start:border].tolist()
        assert row[: len(a) + 2] == [CLS, *a, SEP]
        second = row[len(a) + 2 : -1]
        if label == 1:
            others = [piece for piece in pieces if piece is not own]
            assert row[-1] == SEP and any(second == piece[: len(second)] for piece in others)
            assert second and len(second) <= len(own)  # it fits where the own piece was
        else:
            assert second == own


def test_about_half_are_swapped(written):
    windows = np.repeat(written.windows([24])[:1], 2000, axis=0)
    torch.manual_seed(0)
    _, labels = written.pairs(windows, tiny_tokenizer())
    assert 0.45 < (labels == 1).float().mean() < 0.55


def test_what_is_not_a_corpus_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no tokenised corpus: ids.npy is missing"):
        corpus.Corpus(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"word{i}" for i in range(2**16)])
    with pytest.raises(ValueError, match="16 bits"):
        corpus.Corpus.write(tmp_path, DOCUMENTS, tokenizer)


def test_what_is_held_out_is_not_trained_on(tmp_path):
    documents = [[f"the cat number {number} sat."] for number in range(250)]
    text, held_out = corpus.split(documents)
    assert held_out == [documents[0], documents[100], documents[200]]
    assert text == [document for document in documents if document not in held_out]


def test_a_corpus_is_prepared_once_and_for_its_own_files(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(f"{name} cat number {n} sat here." for n in range(120)))
    both = [tmp_path / "one.txt", tmp_path / "two.txt"]
    tokenizer, text, held_out = corpus.Corpus.prepare(tmp_path / "made", both, vocabulary=80)
    assert (len(text.documents), len(held_out.documents)) == (118 + 120 + 1, 2 + 1)
    assert "two" in tokenizer.decode(text.ids) and "two" not in tokenizer.decode(held_out.ids)
    monkeypatch.setattr(corpus, "learn_wordpiece", None)  # is not called again
    again, *_ = corpus.Corpus.prepare(tmp_path / "made", both, vocabulary=80)
    assert again.get_vocab() == tokenizer.get_vocab()
    _, ours, _ = corpus.Corpus.prepare(tmp_path / "ours", both, tiny_tokenizer())
    assert (
        ours.ids[:9].tolist()
        == tiny_tokenizer()("one cat number 1 sat here.", add_special_tokens=False)["input_ids"][:9]
    )
    other = tiny_tokenizer()
    other.backend_tokenizer.model = models.WordPiece(
        {token: (len(VOCABULARY) - 1 - n if n > 4 else n) + 5 * (n > 4) for token, n in VOCABULARY.items()},
        unk_token="[UNK]",
    )  # the same entries under other ids
    with pytest.raises(ValueError, match="another folder"):
        corpus.Corpus.prepare(tmp_path / "ours", both, other)
    with pytest.raises(ValueError, match=r"holds a corpus made of .*two.txt.*, not of .*one.txt'\].*another folder"):
        corpus.Corpus.prepare(tmp_path / "made", both[:1], vocabulary=80)


def test_many_documents_are_tokenised_in_blocks(tmp_path, monkeypatch, written):
    monkeypatch.setattr(corpus, "DOCUMENTS_AT_ONCE", 2)
    again = corpus.Corpus.write(tmp_path, DOCUMENTS, tiny_tokenizer())
    for name in corpus.FILES:
        np.testing.assert_array_equal(getattr(again, name), getattr(written, name))
    with pytest.raises(ValueError, match="no documents"):
        corpus.Corpus.write(tmp_path, [], tiny_tokenizer())
