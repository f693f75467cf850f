"""How a BERT is made: masked-language modelling and next-sentence prediction (Devlin et al. 2019, section 3.1).

A model reads pairs of text pieces in which some tokens are hidden; it learns to name the hidden ones from the vectors
that stand in their place, and to say from the vector of [CLS] whether the second piece followed the first. Nothing in
this asks for a vector that means the sentence. The text comes from `corpus.py`, the loop is the one of `loop.py`.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertForPreTraining, PreTrainedModel, PreTrainedTokenizerFast

from sbert_lab import loop
from sbert_lab.backbone import Backbone
from sbert_lab.corpus import Corpus
from sbert_lab.tokens import Tokens

STANDARD_DEVIATION = 0.02  # of BERT's weights at the start


class Pretraining(nn.Module):
    """A BERT and its two heads over packed tokens; what it trains is `model` itself."""

    def __init__(
        self, model: BertForPreTraining, tokenizer: PreTrainedTokenizerFast, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.backbone = Backbone(model.bert, tokenizer, precision)
        self.masked_head, self.next_head = model.cls.predictions, model.cls.seq_relationship

    def forward(self, tokens: Tokens, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of every entry at the M `hidden` places, (M, V), and of B following A or not, (B, 2)."""
        vectors = self.backbone(tokens)  # (T, D)
        with self.backbone.autocast():
            first = vectors[tokens.offsets[:-1].to(vectors.device), None]  # (B, 1, D): [CLS]
            follows = self.next_head(self.backbone.model.pooler(first))
            return self.masked_head(vectors[hidden]).float(), follows.float()

    def losses(self, corrupted: Tokens, ids: Tensor, hidden: Tensor, next_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy of the `hidden` ones of the true `ids`, (T,), and of the next-sentence labels (B,)."""
        names, follows = self(corrupted, hidden.to(self.backbone.device))
        masked = F.cross_entropy(names, ids[hidden].to(names.device), reduction="sum")
        return masked, F.cross_entropy(follows, next_labels.to(follows.device), reduction="sum")  # -100 counts as 0


def mask(tokens: Tokens, tokenizer: PreTrainedTokenizerFast, share: float) -> tuple[Tokens, Tensor]:
    """The tokens with about `share` of them hidden, and which, (T,) bool; drawn from torch's global random state.

    Of the hidden ones 80 % become [MASK], 10 % any entry, 10 % stay as they are (Devlin et al. 2019, appendix A.1).
    Special tokens are never hidden; at least one other is.
    """
    ids = tokens.ids
    ordinary = ~torch.isin(ids, torch.tensor(tokenizer.all_special_ids))  # (T,)
    if not ordinary.any():
        raise ValueError("there is nothing to mask: every token is a special one")
    draw = torch.rand(len(ids)).masked_fill(~ordinary, 2.0)  # (T,)
    hidden = draw <= max(share, draw.min().item())
    fate = torch.rand(len(ids))
    entries = torch.randint(len(tokenizer), ids.shape)
    corrupted = ids.masked_fill(hidden & (fate < 0.8), tokenizer.mask_token_id)
    return Tokens(torch.where(hidden & (fate >= 0.9), entries, corrupted), tokens.lengths, tokens.segments), hidden


@torch.no_grad()
def start_from_words(model: BertForPreTraining, vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
    """Begin with word vectors (V, D) as input embeddings and with log frequencies, from `counts` (V,), as output bias.

    From random embeddings the loss first stands for long where guessing by frequency stands; this begins there.
    """
    put_words(model.bert.embeddings.word_embeddings.weight, vectors, STANDARD_DEVIATION)
    frequency = torch.from_numpy(counts + 1.0)  # an entry never seen is rare, not impossible
    model.cls.predictions.bias.copy_((frequency / frequency.sum()).log())


@torch.no_grad()
def put_words(embeddings: Tensor, vectors: NDArray[np.float32], deviation: float) -> None:
    """Give `embeddings` (V, D) the `vectors` (V, D), scaled to a standard deviation; all-zero ones change nothing."""
    table = torch.from_numpy(vectors)
    known = table.abs().sum(dim=1) > 0
    embeddings[known] = (table / table[known].std() * deviation)[known]


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path, **settings: float) -> None:
    """Write the model to `folder` in half precision, and its tokenizer; whoever loads it computes in float32.

    `settings` are those of its config that fine-tuning wants otherwise than pretraining did.
    """
    halved = copy.deepcopy(model).half()
    halved.save_pretrained(folder)
    config = copy.deepcopy(model.config)
    config.update(settings)
    config.dtype = torch.float32  # loaders follow the config, not the file
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pretrain(
    model: Pretraining,
    corpus: Corpus,
    plan: loop.Plan,
    *,
    longest: Sequence[int] = (64,),
    share: float = 0.2,
    held_out: Corpus | None = None,
    folder: str | Path | None = None,
) -> loop.History:
    """Train `model` in place on windows of the lengths `longest`, with a `share` of their tokens hidden.

    `longest` is that of `Corpus.windows`. With `held_out`, the history's scores are minus its loss in windows of the
    first of these lengths, and the weights that did best are kept. A run found in `folder` is continued.
    """
    windows, tokenizer = _windows(model, corpus, longest), model.backbone.tokenizer

    def fill(numbers: Sequence[int]) -> tuple[Tensor, int]:
        tokens, labels = corpus.pairs(windows[list(numbers)], tokenizer)
        order = tokens.lengths.argsort(stable=True)
        tokens, labels = tokens.take(order), labels[order]
        corrupted, hidden = mask(tokens, tokenizer, share)
        parts = corrupted.split(plan.tokens_at_once)
        sizes = [len(part.ids) for part in parts]
        pieces = zip(
            parts,
            tokens.ids.split(sizes),
            hidden.split(sizes),
            labels.split([len(part) for part in parts]),
            strict=True,
        )
        judged = max(1, int((labels >= 0).sum()))  # of single sentences none is: their loss is 0, not NaN
        value = torch.zeros((), device=model.backbone.device)
        for piece in pieces:
            masked, following = model.losses(*piece)
            loss = masked / int(hidden.sum()) + following / judged
            loss.backward()
            value += loss.detach()
        return value, 0

    return loop.run(
        {"model": model},
        len(windows),
        fill,
        plan,
        dev=None if held_out is None else lambda: -measure(model, held_out, longest[:1], 400)["loss"],
        folder=folder,
        facts={
            "tokens": len(corpus.ids),
            "windows": len(windows),
            "longest": list(longest),
            "share": share,
            "precision": str(model.backbone.precision),
        },
    )


def _windows(model: Pretraining, corpus: Corpus, longest: Sequence[int]) -> NDArray[np.int64]:
    """The corpus's windows, refused where there are none or where they do not fit the model."""
    if max(longest) > model.backbone.longest:
        raise ValueError(f"windows of {max(longest)} tokens do not fit a model that takes {model.backbone.longest}")
    windows = corpus.windows(longest)
    if not len(windows):
        raise ValueError("the corpus holds no text: give documents of at least one sentence")
    return windows


@torch.inference_mode()
def measure(
    model: Pretraining, corpus: Corpus, longest: Sequence[int] = (128,), windows: int | None = None
) -> dict[str, float]:
    """What the model makes of text it has not seen, 15 % hidden, the same in every call, without dropout.

    {"loss": nats a hidden token, "nats_per_character", "accuracy": share of hidden tokens named, "next_accuracy",
    "next_share": of pairs that do follow, "tokens"}; of `windows` windows drawn from the corpus, None: all.
    """
    tokenizer, rows = model.backbone.tokenizer, _windows(model, corpus, longest)
    rows = np.random.default_rng(0).permutation(rows)[:windows]  # neighbours would exchange pieces of one document
    width = torch.tensor([len(t.removeprefix("##")) for t in tokenizer.convert_ids_to_tokens([*range(len(tokenizer))])])
    total = dict.fromkeys(("nats", "hidden", "characters", "right", "judged", "next_right", "next", "tokens"), 0.0)
    training = model.training
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for start in range(0, len(rows), 64):
            tokens, labels = corpus.pairs(rows[start : start + 64], tokenizer)
            corrupted, hidden = mask(tokens, tokenizer, 0.15)
            names, follows = (scores.cpu() for scores in model(corrupted, hidden.to(model.backbone.device)))
            truth, judged = tokens.ids[hidden], labels >= 0
            total["nats"] += F.cross_entropy(names, truth, reduction="sum").item()
            total["right"] += (names.argmax(1) == truth).sum().item()
            total["next_right"] += (follows.argmax(1) == labels)[judged].sum().item()
            for name, counted in (("hidden", hidden), ("judged", judged), ("next", labels == 0)):
                total[name] += counted.sum().item()
            total["characters"] += width[truth].sum().item()
            total["tokens"] += len(tokens.ids)
    model.train(training)
    return {
        "loss": total["nats"] / total["hidden"],
        "nats_per_character": total["nats"] / total["characters"],
        "accuracy": total["right"] / total["hidden"],
        "next_accuracy": total["next_right"] / max(1, total["judged"]),
        "next_share": total["next"] / max(1, total["judged"]),
        "tokens": total["tokens"],
    }
