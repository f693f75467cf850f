"""Ways to fill `.grad`: what they must agree on."""

import pytest
import torch
from tiny import TEXTS, tiny_encoder, tiny_tokenizer
from torch import Tensor, nn

from sbert_lab import gradients
from sbert_lab.backbone import Backbone
from sbert_lab.encoder import Dense, Encoder
from sbert_lab.losses import (
    CoSENT,
    CosineRegression,
    InBatchNegatives,
    Loss,
    PairContrastive,
    PairScores,
    SoftmaxClassification,
    TripletMargin,
)

GRADES = torch.tensor([0.1, 0.9, 0.4, 0.0, 1.0, 0.5, 0.3])
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0])
CASES = {
    "softmax": (lambda: SoftmaxClassification(32, 3), 2, CLASSES),
    "cosine": (CosineRegression, 2, GRADES),
    "cosent": (CoSENT, 2, GRADES),
    "triplet": (lambda: TripletMargin(margin=5.0), 3, None),
    "contrastive": (PairContrastive, 2, CLASSES.clamp(max=1)),
    "pair scores": (lambda: PairScores(32), 1, CLASSES),
    "in-batch": (InBatchNegatives, 2, None),
    "in-batch, symmetric": (lambda: InBatchNegatives(symmetric=True), 2, None),
    "in-batch, hard negatives": (InBatchNegatives, 4, None),
}


def encoder_in_training() -> Encoder:
    return tiny_encoder(dense=[Dense(32, 32)]).train()


def columns(encoder: Encoder, count: int) -> list:
    """`count` columns of 7 texts, no two columns alike."""
    return [encoder.tokenize(TEXTS[shift:] + TEXTS[:shift])[0] for shift in range(count)]


def filled(encoder: Encoder, loss: Loss, fill, batch, labels, tokens_at_once: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The value, and the gradient of every weight, beginning from one random state."""
    torch.manual_seed(1)
    value = fill(encoder, loss, batch, labels, tokens_at_once)
    both = nn.ModuleDict({"encoder": encoder, "loss": loss})
    found = {name: weight.grad.clone() for name, weight in both.named_parameters() if weight.grad is not None}
    both.zero_grad()
    return value, found


@pytest.mark.parametrize("case", CASES)
def test_cached_equals_plain_over_the_same_chunks_with_dropout(case: str) -> None:
    make, count, labels = CASES[case]
    encoder, loss = encoder_in_training(), make()
    batch = columns(encoder, count)
    plain, expected = filled(encoder, loss, gradients.plain, batch, labels, 12)
    cached, found = filled(encoder, loss, gradients.cached, batch, labels, 12)
    assert cached == plain
    assert found.keys() == expected.keys() and any(name.startswith("loss") for name in found) == (case == "softmax")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fill", [gradients.plain, gradients.cached])
def test_both_equal_one_text_at_a_time_without_dropout(fill) -> None:
    """The oracle: every text by itself through the encoder, then the loss, then autograd."""
    encoder, loss = tiny_encoder().eval(), InBatchNegatives()
    batch = columns(encoder, 3)
    value, found = filled(encoder, loss, fill, batch, None, 12)
    one_by_one = [torch.cat([encoder(column[row : row + 1]) for row in range(len(column))]) for column in batch]
    expected = loss(one_by_one)
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    for name, weight in encoder.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(found[f"encoder.{name}"], weight.grad, rtol=1e-3, atol=1e-5)


def test_dropout_differs_between_chunks_and_steps() -> None:
    """Were the random state reset for each chunk, equal texts in different chunks would share their dropout."""
    encoder = encoder_in_training()
    same = encoder.tokenize(["the cat sat on the mat"] * 6)[0]
    seen = []

    class Spy(Loss):
        columns = ("u", "v")

        def value(self, u: Tensor, v: Tensor) -> Tensor:
            seen.append(u.detach())
            return (u * v).sum()

    gradients.cached(encoder, Spy(), [same, same], None, 8)
    assert len(seen[0].unique(dim=0)) == 6


def test_cached_leaves_the_random_state_where_plain_does() -> None:
    encoder, loss = encoder_in_training(), InBatchNegatives()
    after = []
    for fill in (gradients.plain, gradients.cached):
        filled(encoder, loss, fill, columns(encoder, 2), None, 12)
        after.append(torch.rand(3))
    assert torch.equal(after[0], after[1])


def test_cached_holds_the_activations_of_one_chunk_only() -> None:
    """Count the tensors that autograd keeps for the backward pass: plain grows with the batch, cached does not."""

    def most_kept(fill, texts: int) -> int:
        kept = most = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal kept, most
            kept += tensor.numel()
            most = max(most, kept)
            return tensor

        class Counting(Encoder):
            def forward(self, tokens):
                nonlocal kept
                if fill is gradients.cached:
                    kept = 0  # the chunk before has been carried back and freed
                with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                    return super().forward(tokens)

        torch.manual_seed(0)
        encoder = Counting(Backbone(tiny_encoder().backbone.model, tiny_tokenizer()))
        batch = [encoder.tokenize(["the cat sat on the mat"] * texts)[0]] * 2
        fill(encoder, InBatchNegatives(), batch, None, 16)
        return most

    assert most_kept(gradients.plain, 16) > 3 * most_kept(gradients.plain, 4)
    assert most_kept(gradients.cached, 16) == most_kept(gradients.cached, 4)


def test_cached_trains_a_head_on_a_frozen_encoder_as_plain_does() -> None:
    encoder, loss = tiny_encoder().requires_grad_(False), SoftmaxClassification(32, 3)
    batch = columns(encoder, 2)
    expected = filled(encoder, loss, gradients.plain, batch, CLASSES, 12)[1]
    found = filled(encoder, loss, gradients.cached, batch, CLASSES, 12)[1]
    assert found.keys() == {"loss.head.weight", "loss.head.bias"} == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
