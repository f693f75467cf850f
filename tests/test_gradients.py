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
    ListwiseDistillation,
    Loss,
    MarginDistillation,
    PairContrastive,
    PairScores,
    Projected,
    SoftmaxClassification,
    TripletMargin,
    VectorDistillation,
)

GRADES = torch.tensor([0.1, 0.9, 0.4, 0.0, 1.0, 0.5, 0.3])
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0])
TEACHER = torch.linspace(-3, 3, 7 * 32).sin().reshape(7, 32)
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
    "vectors": (VectorDistillation, 2, TEACHER),
    "margins": (MarginDistillation, 3, 10 * GRADES),
    "listwise": (ListwiseDistillation, 4, TEACHER[:, :3]),
    "projected": (lambda: Projected(32, InBatchNegatives()), 3, None),
}
OWN_WEIGHTS = ("softmax", "projected")


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
    assert found.keys() == expected.keys() and any(name.startswith("loss") for name in found) == (case in OWN_WEIGHTS)
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


def by_hand(model, loss, texts: list[list[str]], labels, moves=None) -> tuple[Tensor, list[Tensor]]:
    """The loss with every text by itself through transformers' own forward pass, and the embeddings that went in."""
    moves, seen, vectors = moves and iter(moves), [], []
    tokenizer = tiny_tokenizer()
    for column in texts:
        found = []
        for text in column:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            embeddings = model.get_input_embeddings()(ids)  # (1, L, D)
            embeddings.retain_grad()
            seen.append(embeddings)
            moved = embeddings + next(moves) if moves else embeddings
            found.append(model(inputs_embeds=moved).last_hidden_state.mean(dim=1))
        vectors.append(torch.cat(found))
    return loss(vectors, labels), seen


@pytest.mark.parametrize("norm", ["l2", "sign"])
@pytest.mark.parametrize("family", ["bert", "mpnet"])  # packed and padded
@pytest.mark.parametrize("case", ["cosine", "in-batch, hard negatives", "softmax"])
def test_adversarial_equals_a_loop_over_texts(case: str, family: str, norm: str) -> None:
    make, count, labels = CASES[case]
    encoder, loss, epsilon = tiny_encoder(family).eval(), make(), {"l2": 0.4, "sign": 0.01}[norm]
    texts = [TEXTS[shift:] + TEXTS[:shift] for shift in range(count)]
    batch = [encoder.tokenize(column)[0] for column in texts]
    value, found = filled(encoder, loss, gradients.Adversarial(epsilon, norm), batch, labels, 12)

    model = encoder.backbone.model
    before, seen = by_hand(model, loss, texts, labels)
    before.backward()
    if norm == "sign":
        moves = [epsilon * embeddings.grad.sign() for embeddings in seen]
    else:
        moves = [epsilon * embeddings.grad / embeddings.grad.norm() for embeddings in seen]
    after, _ = by_hand(model, loss, texts, labels, moves)
    after.backward()
    assert after > before + 1e-3  # it is the loss that rises
    torch.testing.assert_close(value, (before + after).detach() / 2, rtol=1e-4, atol=1e-5)
    both = nn.ModuleDict({"encoder": encoder, "loss": loss})
    expected = {name: weight.grad / 2 for name, weight in both.named_parameters() if weight.grad is not None}
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=2e-3, atol=2e-5)


def test_adversarial_leaves_no_hook_behind() -> None:
    encoder = tiny_encoder()
    vectors = encoder.encode(TEXTS)
    filled(encoder, InBatchNegatives(), gradients.Adversarial(), columns(encoder, 2), None, 12)
    with pytest.raises(ValueError):
        gradients.Adversarial()(encoder, InBatchNegatives(), columns(encoder, 1), None, 12)
    assert (encoder.encode(TEXTS) == vectors).all()


@pytest.mark.parametrize("columns_of_keys", [1, 2])
def test_momentum_equals_a_queue_kept_by_hand(columns_of_keys: int) -> None:
    """Five steps by hand: slow weights in a dict, a list of what they said, a softmax in a loop."""
    torch.manual_seed(0)
    encoder, slow_encoder, loss = tiny_encoder().eval(), tiny_encoder().eval(), InBatchNegatives(0.1)
    slow = {name: weight.detach().clone() for name, weight in encoder.named_parameters()}
    fill, queue = gradients.Momentum(momentum=0.7, batches=2), []
    for step in range(5):
        texts = [[f"{TEXTS[(row + step) % 7]} {word}" for row in range(3)] for word in ("cat", "dog", "tree")]
        batch = [encoder.tokenize(column)[0] for column in texts[: 1 + columns_of_keys]]
        value, found = filled(encoder, loss, fill, batch, None, 12)

        for name, weight in encoder.named_parameters():
            slow[name] = 0.7 * slow[name] + 0.3 * weight.detach()
        slow_encoder.load_state_dict(slow)
        keys = [torch.from_numpy(slow_encoder.encode(column)) for column in texts[1 : 1 + columns_of_keys]]
        candidates = [key for column in keys for key in column] + [key for keys in queue[-2:] for key in keys]
        total = 0
        for row, anchor in enumerate(encoder(batch[0])):
            scores = torch.stack([torch.cosine_similarity(anchor, key, dim=0) / 0.1 for key in candidates])
            total = total + scores.logsumexp(dim=0) - scores[row]
        queue.append([key for column in keys for key in column])
        assert len(candidates) == 3 * columns_of_keys * (1 + min(step, 2))
        (total / 3).backward()
        torch.testing.assert_close(value, total.detach() / 3, rtol=1e-4, atol=1e-5)
        for name, weight in encoder.named_parameters():
            if weight.grad is not None:
                torch.testing.assert_close(found[f"encoder.{name}"], weight.grad, rtol=2e-3, atol=2e-5)
                weight.data -= 0.05 * weight.grad  # the next step is another encoder's
        encoder.zero_grad()


@pytest.mark.parametrize(
    "case", [case for case, (make, _, _) in CASES.items() if case not in ("in-batch", "in-batch, hard negatives")]
)
def test_momentum_refuses_a_loss_without_candidates_by_its_name(case: str) -> None:
    make, count, labels = CASES[case]
    encoder, loss = tiny_encoder(), make()
    with pytest.raises(TypeError, match=rf"and {type(loss).__name__}(\(symmetric=True\))? has none to keep"):
        gradients.Momentum()(encoder, loss, columns(encoder, count), labels, 12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gradients.Adversarial(norm="l1"), "norm 'l1' is not one of l2, sign"),
        (lambda: gradients.Adversarial(epsilon=0), "epsilon is 0: give a finite number above 0"),
        (lambda: gradients.Momentum(momentum=1), "momentum is 1: give a finite number of at least 0 and below 1"),
        (lambda: gradients.Momentum(batches=2.5), "batches is 2.5: give a whole number of at least 1"),
    ],
)
def test_settings_out_of_range_are_named(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_frozen_embeddings_cannot_be_attacked() -> None:
    encoder = tiny_encoder()
    encoder.backbone.model.get_input_embeddings().requires_grad_(False)
    with pytest.raises(ValueError, match="the word embeddings are frozen"):
        gradients.Adversarial()(encoder, InBatchNegatives(), columns(encoder, 2), None, 12)


FILLS = {
    "plain": lambda: gradients.plain,
    "cached": lambda: gradients.cached,
    "adversarial, l2": lambda: gradients.Adversarial(0.3),
    "adversarial, sign": lambda: gradients.Adversarial(0.01, "sign"),
    "momentum": lambda: gradients.Momentum(0.9, batches=2),
}
MEANINGFUL = [
    (case, fill) for case in CASES for fill in FILLS
    if fill != "momentum" or case in ("in-batch", "in-batch, hard negatives")
]  # fmt: skip


@pytest.mark.parametrize(("case", "fill"), MEANINGFUL)
def test_every_loss_descends_with_every_way_to_fill(case: str, fill: str) -> None:
    make, count, labels = CASES[case]
    torch.manual_seed(0)
    encoder, loss, filler = encoder_in_training().eval(), make(), FILLS[fill]()  # without dropout: a descent, no noise
    batch = columns(encoder, count)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=1e-3)
    before = filled(encoder, loss, gradients.plain, batch, labels, 12)[0]
    for _ in range(12):
        filler(encoder, loss, batch, labels, 12)
        optimizer.step()
        optimizer.zero_grad()
    assert filled(encoder, loss, gradients.plain, batch, labels, 12)[0] < before - 1e-3
