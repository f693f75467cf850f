"""The cross-encoder is transformers' classifier and sentence-transformers' CrossEncoder; our loop trains it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny import PACKED, tiny_encoder, tiny_model, tiny_tokenizer
from tokenizers import processors
from transformers import BertForSequenceClassification

from sbert_lab import CrossEncoder, Plan, Row, gradients, load, losses, sources, train
from sbert_lab.backbone import Backbone

PAIRS = [
    ("the cat sat on the mat", "a dog"),
    ("", "blue"),
    ("a dog", "a dog"),
    ("the old red house in the rain ran on", "tree tree tree"),
    ("rain", "the cat sat"),
]
GRADED = [Row(pair, grade) for pair, grade in zip(PAIRS, (0.0, 0.0, 1.0, 0.0, 1.0), strict=True)]
PLAN = Plan(epochs=100, batch_size=5, learning_rate=3e-3)


def tiny_backbone_for_single_texts() -> Backbone:
    tokenizer = tiny_tokenizer()
    single = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.backend_tokenizer.post_processor = single
    return Backbone(tiny_model(), tokenizer)


def cross(classes: int = 1, **options) -> CrossEncoder:
    torch.manual_seed(1)
    return CrossEncoder(Backbone(tiny_model(), tiny_tokenizer()), classes, **options).eval()


@pytest.mark.parametrize("classes", [1, 3])
def test_scores_are_those_of_transformers_and_of_sentence_transformers(classes: int, tmp_path) -> None:
    from sentence_transformers import CrossEncoder as Library

    model = CrossEncoder(load("lab-bert").backbone, classes).eval()
    torch.nn.init.normal_(model.dense.weight)  # not the pooler's any more: whose weights are used shows
    theirs = BertForSequenceClassification.from_pretrained(sources.find("lab-bert"), num_labels=classes).eval()
    theirs.bert.pooler.dense.load_state_dict(model.dense.state_dict())
    theirs.classifier.load_state_dict(model.head.state_dict())
    theirs.save_pretrained(tmp_path)
    model.backbone.tokenizer.save_pretrained(tmp_path)
    for pair in PAIRS:
        inputs = model.backbone.tokenizer(*pair, return_tensors="pt")
        torch.testing.assert_close(model(model.tokenize([pair])[0]), theirs(**inputs).logits, atol=1e-4, rtol=1e-4)
    scores = model.predict(PAIRS)
    found = Library(str(tmp_path), device="cpu").predict(PAIRS, apply_softmax=classes > 1)
    assert scores.shape == ((5,) if classes == 1 else (5, 3))
    np.testing.assert_allclose(scores, found, atol=1e-5)


def test_batches_of_any_size_give_the_same_scores_in_order() -> None:
    model = cross()
    alone = np.concatenate([model.predict([pair]) for pair in PAIRS])
    for tokens_at_once in (1, 30, 1000):
        np.testing.assert_allclose(model.predict(PAIRS, tokens_at_once), alone, atol=1e-6)
    assert model.predict([]).shape == (0,) and cross(3).predict([]).shape == (0, 3)


@pytest.mark.parametrize("family", [*PACKED, "mpnet"])
def test_the_dense_layer_begins_as_the_pooler_where_there_is_one(family: str) -> None:
    model = CrossEncoder(Backbone(tiny_model(family), tiny_tokenizer()))
    pooler = {"albert": lambda m: m.pooler, "bert": lambda m: m.pooler.dense, "roberta": lambda m: m.pooler.dense}
    if family in pooler:
        assert torch.equal(model.dense.weight, pooler[family](model.backbone.model).weight)
    assert model.predict(PAIRS).shape == (5,)


def test_dropout_is_on_in_training_and_off_in_prediction() -> None:
    model = cross().train()
    model.backbone.eval()
    tokens, _ = model.tokenize(PAIRS)
    assert not torch.equal(model(tokens), model(tokens))
    scores = model.predict(PAIRS)
    assert (scores == model.predict(PAIRS)).all() and model.training
    np.testing.assert_array_equal(scores, cross().predict(PAIRS))


@pytest.mark.parametrize("fill", [gradients.plain, gradients.cached])
@pytest.mark.parametrize("classes", [1, 3])
def test_it_learns_by_the_same_loop(classes: int, fill) -> None:
    model, loss = cross(classes), losses.PairScores(classes)
    rows = GRADED if classes == 1 else [Row(pair, n % 3) for n, pair in enumerate(PAIRS)]
    labels = torch.tensor([row.label for row in rows])

    def value() -> float:
        with torch.no_grad():
            return loss([model(model.tokenize(PAIRS)[0])], labels).item()

    before = value()
    train(model, rows, loss, PLAN, gradients=fill)
    assert value() < before / 2 and not model.training


def test_a_checkpoint_of_another_kind_is_refused(tmp_path) -> None:
    plan = dataclasses.replace(PLAN, epochs=1)
    train(cross(), GRADED, losses.PairScores(), plan, folder=tmp_path)
    with pytest.raises(ValueError, match="max_length"):
        train(cross(max_length=9), GRADED, losses.PairScores(), plan, folder=tmp_path)
    with pytest.raises(ValueError, match="belongs to another run"):
        rows = [Row(row.texts, 0) for row in GRADED]
        train(cross(2), rows, losses.PairScores(2), plan, folder=tmp_path)
    assert cross(2).settings != cross(3).settings


def test_pairs_too_long_are_cut_the_longer_text_first_and_counted() -> None:
    model = cross(max_length=8)
    with pytest.warns(UserWarning, match="1 of 2 pairs were cut at 8 tokens") as caught:
        model.predict([("a dog", "a dog"), ("the old red house in the rain", "a dog")])
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="1 texts were cut at 8"):
        long = Row(("the old red house in the rain", "a dog"), 0.5)
        train(model, [long, GRADED[1]], losses.PairScores(), dataclasses.replace(PLAN, epochs=1))
    assert model.tokenize([("the old red house in the rain", "a dog")])[0].segments.tolist() == [0] * 5 + [1] * 3


BAD = {
    "a text": (lambda: cross().predict(["a cat"]), ValueError, "reads pairs of texts, but row 0 is 'a cat'"),
    "three texts": (lambda: cross().predict([("a", "b", "c")]), ValueError, "reads pairs"),
    "no text": (lambda: cross().predict([("a", None)]), TypeError, "a text of pair 0 is None"),
    "rows of one": (lambda: train(cross(), [Row(("a",), 0.5)], losses.PairScores()), ValueError, "reads pairs"),
    "a bi-encoder's loss": (
        lambda: train(cross(), GRADED, losses.CosineRegression()),
        ValueError,
        r"takes the columns \(u, v\).* was given 1 column",
    ),
    "a loss for classes": (
        lambda: train(cross(), [Row(("a", "b"), 1)], losses.PairScores(classes=3)),
        ValueError,
        "make the loss with classes=1",
    ),
    "an encoder": (lambda: CrossEncoder(tiny_encoder()), TypeError, "backbone is a Encoder"),
    "an iterator": (lambda: cross().predict(zip("ab", "cd", strict=True)), TypeError, "a list of pairs .* not a zip"),
    "a set": (lambda: cross().predict({("a", "b")}), TypeError, "not a set"),
    "one text": (lambda: cross().predict("ab"), TypeError, "not a str"),
    "too short": (lambda: cross(max_length=4), ValueError, "max_length is 4: this model takes 5 to 64"),
    "too long": (lambda: setattr(cross(), "max_length", 65), ValueError, "max_length is 65"),
    "no class": (lambda: cross(0), ValueError, "classes is 0"),
    "half a class": (lambda: cross(1.5), ValueError, "classes is 1.5"),
    "no template for pairs": (
        lambda: CrossEncoder(tiny_backbone_for_single_texts()),
        ValueError,
        "does not join a pair",
    ),
    "a rate for no weights": (
        lambda: train(cross(), GRADED, losses.PairScores(), Plan(head_learning_rate=0.1)),
        ValueError,
        r"PairScores\(classes=1\) has none",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        call()
