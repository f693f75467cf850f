"""Word vectors against a loop, sentence-transformers' StaticEmbedding, and a dense count of neighbours."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny import TEXTS, VOCABULARY, tiny_tokenizer

from sbert_lab import static


def words() -> static.WordVectors:
    vectors = np.random.default_rng(0).normal(size=(len(VOCABULARY), 8)).astype(np.float16).astype(np.float32)
    return static.WordVectors(tiny_tokenizer().backend_tokenizer, vectors)


def test_a_text_is_the_mean_of_its_words():
    found = words().encode(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        rows = [words().vectors[i] for i in tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]]
        expected = sum(rows) / len(rows) if rows else np.zeros(8)
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    np.testing.assert_array_equal(words().encode(TEXTS[0]), found[0])
    assert words().encode([]).shape == (0, 8)


def test_sentence_transformers_opens_what_is_saved(tmp_path):
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words().save(tmp_path)
    theirs = SentenceTransformer(modules=[StaticEmbedding.load(str(tmp_path))], device="cpu").float()
    np.testing.assert_allclose(words().encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)
    np.testing.assert_array_equal(static.WordVectors.load(tmp_path).encode(TEXTS), words().encode(TEXTS))


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer.json is missing"):
        static.WordVectors.load(tmp_path)
    with pytest.raises(ValueError, match=r"shape \(3, 8\): give one for each of the"):
        static.WordVectors(tiny_tokenizer().backend_tokenizer, np.zeros((3, 8)))
    with pytest.raises(TypeError, match="text 1 is None"):
        words().encode(["a cat", None])


def test_neighbours_are_counted_as_a_loop_counts_them():
    size, window = 12, 3
    ids = np.random.default_rng(1).integers(size, size=400).astype(np.uint16)
    counts = np.zeros((size, size))
    for i in range(len(ids)):
        for j in range(max(0, i - window), min(len(ids), i + window + 1)):
            if i != j:
                counts[ids[i], ids[j]] += 1 / abs(i - j)
    often = counts.sum(axis=1)
    context = often**0.75 / sum(often**0.75)
    expected = np.maximum(0, np.log(counts / np.outer(often, context), where=counts > 0, out=np.full_like(counts, -1)))
    u, strength, _ = np.linalg.svd(expected)
    found = static.ppmi_svd(ids, size, size, window)
    np.testing.assert_allclose(found @ found.T, (u * strength) @ u.T, atol=1e-4)
    best = static.ppmi_svd(ids, size, 3, window)
    np.testing.assert_allclose(np.abs(best), np.abs(u[:, :3] * np.sqrt(strength[:3])), atol=1e-4)


def test_the_tokenizers_padding_and_cutting_do_not_count():
    tokenizer = tiny_tokenizer().backend_tokenizer
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(3)
    np.testing.assert_array_equal(static.WordVectors(tokenizer, words().vectors).encode(TEXTS), words().encode(TEXTS))
    assert tokenizer.truncation and tokenizer.padding  # the caller's is left as it was


def test_an_entry_without_neighbours_has_no_vector():
    ids = np.random.default_rng(1).integers(3, 9, size=300).astype(np.uint16)
    vectors = static.ppmi_svd(ids, 12, 5)
    assert not vectors[[0, 1, 2, 9, 10, 11]].any() and np.linalg.norm(vectors[3:9], axis=1).min() > 0.01
    assert static.ppmi_svd(ids[:3], 12, 2).shape == (12, 2)  # fewer tokens than the window


def test_words_in_the_same_places_get_like_vectors():
    draw = np.random.default_rng(2)
    ids = np.array([[draw.choice([0, 1]), 2, 3] if draw.random() < 0.5 else [4, 5, 6] for _ in range(800)])
    vectors = torch.from_numpy(static.ppmi_svd(ids.ravel().astype(np.uint16), 7, 4, window=1))
    cosine = torch.nn.functional.cosine_similarity(vectors[0], vectors, dim=1)
    assert cosine[1] > 0.9 > cosine[4:].max()
