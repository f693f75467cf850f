"""How a T5 is made: spans of a text are cut out and the network writes them (Raffel et al. 2020, section 3.3.4).

The encoder reads the text with a sentinel in the place of each span that was cut; the decoder writes, token by token,
each sentinel and what stood there. As in `pretraining.py`, nothing in this asks for a vector that means the sentence.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

from sbert_lab import loop
from sbert_lab.backbone import Backbone, inference
from sbert_lab.corpus import Corpus
from sbert_lab.tokens import Tokens

SENTINELS = [f"<extra_id_{number}>" for number in range(32)]  # more than a window of 512 tokens has spans


def with_sentinels(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The WordPiece `tokenizer` in T5's form: a text ends with [SEP], nothing stands before it, and sentinels follow.

    The entries keep their ids; <extra_id_0> and the others come after them.
    """
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in SENTINELS])
    end = (tokenizer.sep_token, tokenizer.sep_token_id)
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {end[0]}", pair=f"$A {end[0]} $B {end[0]}", special_tokens=[end]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        pad_token=tokenizer.pad_token,
        unk_token=tokenizer.unk_token,
        eos_token=tokenizer.sep_token,
        extra_special_tokens=SENTINELS,
    )


def corrupt(
    texts: Sequence[NDArray], tokenizer: PreTrainedTokenizerFast, share: float = 0.15, length: float = 3
) -> tuple[Tokens, Tokens, Tensor]:
    """The texts, each an array of ids (n,), as the encoder reads them (T tokens) and as the decoder is to write them.

    About a `share` of each text is cut out in spans of `length` tokens on average; it begins with tokens that stay.
    The third, (T,), says where each token read stands in the rows [CLS] text [SEP] of all texts; a sentinel stands
    where its span began. Drawn from torch's global random state. Raises ValueError for a text of fewer than two tokens.
    """
    marks, end = np.array([tokenizer.convert_tokens_to_ids(SENTINELS)]).T, [tokenizer.eos_token_id]  # (S, 1)
    read: list[NDArray] = []
    written: list[NDArray] = []
    places: list[NDArray] = []
    begin = 1  # after the first [CLS]
    for ids in texts:
        if len(ids) < 2:
            raise ValueError(f"a text of {len(ids)} tokens cannot be cut: one must stay and one must go")
        cut = min(max(1, round(share * len(ids))), len(ids) - 1)
        spans = min(max(1, round(cut / length)), cut, len(ids) - cut, len(SENTINELS))
        sizes = np.column_stack([_parts(len(ids) - cut, spans), _parts(cut, spans)])
        pieces = np.split(np.arange(len(ids)), sizes.flatten().cumsum()[:-1])
        stay, go = pieces[::2], pieces[1::2]
        read.append(np.concatenate([*_woven([ids[piece] for piece in stay], marks), end]))
        written.append(np.concatenate([*_woven(marks, [ids[piece] for piece in go]), end]))
        places.append(begin + np.concatenate([*_woven(stay, [piece[:1] for piece in go]), [len(ids)]]))
        begin += len(ids) + 2
    return _tokens(read), _tokens(written), torch.from_numpy(np.concatenate(places))


def _parts(total: int, count: int) -> NDArray[np.int64]:
    """`count` lengths from 1, drawn evenly among all that add up to `total`."""
    borders = torch.randperm(total - 1)[: count - 1].sort().values + 1
    return np.diff([0, *borders.tolist(), total])


def _woven(first: Iterable[NDArray], second: Iterable[NDArray]) -> list[NDArray]:
    """One of the first, one of the second, and so on, until either ends."""
    return [piece for pair in zip(first, second, strict=False) for piece in pair]


def _tokens(texts: Sequence[NDArray]) -> Tokens:
    ids = torch.from_numpy(np.concatenate(texts).astype(np.int64))
    return Tokens(ids, torch.tensor([len(text) for text in texts]), torch.zeros_like(ids))


class SpanCorruption(nn.Module):
    """A T5 as it is pretrained, over padded views; what it trains is `t5` itself."""

    def __init__(self, t5: T5ForConditionalGeneration, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.t5, self.precision = t5, precision

    def forward(self, read: Tokens, written: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of every entry at each of the W tokens to be written, (W, V); these tokens, (W,); vectors, (T, D).

        The vectors are the encoder's, of the tokens read.
        """
        device, padding = self.t5.device, self.t5.config.pad_token_id or 0
        ids, mask, _ = read.to(device).padded(padding)  # (B, L)
        truth, wanted, _ = written.to(device).padded(padding)  # (B, M)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            # transformers shifts the labels by one: the decoder sees what stood before the token it is to write
            found = self.t5(ids, attention_mask=mask.long(), labels=truth)
        return found.logits[wanted].float(), truth[wanted], found.encoder_last_hidden_state[mask].float()


def pretrain(
    model: SpanCorruption,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    plan: loop.Plan,
    *,
    teacher: Backbone | None = None,
    longest: Sequence[int] = (64,),
    held_out: Corpus | None = None,
    folder: str | Path | None = None,
) -> loop.History:
    """Train `model` in place on windows of the lengths `longest`, as `pretraining.pretrain` trains a BERT.

    With a `teacher`, a BERT of the same width and WordPiece that reads the whole text, the encoder learns besides to
    give each token the teacher's vector of it, and a sentinel that of the first token it hides (Baevski et al. 2022,
    data2vec, has a slower copy of the model itself for a teacher). Alone, the writing of spans teaches a small
    encoder nothing for a long time: the decoder first learns to write without looking.
    """
    windows = _windows(corpus, longest)

    def fill(numbers: Sequence[int]) -> tuple[Tensor, int]:
        texts = sorted(_texts(corpus, windows[list(numbers)]), key=len)  # chunks of like length: little padding
        read, written, places = corrupt(texts, tokenizer)
        goals = None if teacher is None else _taught(teacher, texts, plan.tokens_at_once)[places]  # (T, D)
        value = torch.zeros((), device=model.t5.device)
        rows = tokens = 0
        for part in read.split(plan.tokens_at_once):
            scores, truth, vectors = model(part, written[rows : rows + len(part)])
            loss = F.cross_entropy(scores, truth, reduction="sum") / len(written.ids)
            if goals is not None:
                goal = goals[tokens : tokens + len(part.ids)]
                loss = loss + (vectors - goal).square().mean(dim=1).sum() / len(read.ids)
            loss.backward()
            value, rows, tokens = value + loss.detach(), rows + len(part), tokens + len(part.ids)
        return value, 0

    facts = {"tokens": len(corpus.ids), "longest": list(longest), "taught": teacher is not None}
    return loop.run(
        {"model": model},
        len(windows),
        fill,
        plan,
        dev=None if held_out is None else lambda: -measure(model, tokenizer, held_out, 400)["loss"],
        folder=folder,
        facts=facts | {"precision": str(model.precision)},
    )


def _taught(teacher: Backbone, texts: Sequence[NDArray], at_once: int) -> Tensor:
    """The teacher's vectors of [CLS] text [SEP], one text after the other, each at mean 0 and variance 1: (T, D)."""
    first, last = [teacher.tokenizer.cls_token_id], [teacher.tokenizer.sep_token_id]
    whole = _tokens([np.concatenate([first, text, last]) for text in texts])
    with inference(teacher):
        return torch.cat([F.layer_norm(teacher(part), [teacher.dimension]) for part in whole.split(at_once)])


@torch.inference_mode()
def measure(
    model: SpanCorruption, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, windows: int | None = None
) -> dict[str, float]:
    """What the model makes of text it has not seen, cut the same in every call, without dropout.

    {"loss": nats a token to be written, sentinels and the end among them; "accuracy": share of tokens named, each
    after the true ones before it; "tokens"}; of `windows` windows of 64 tokens drawn from the corpus, None: all.
    """
    rows = np.random.default_rng(0).permutation(_windows(corpus, (64,)))[:windows]
    nats, right, count = 0.0, 0, 0
    training = model.training
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for start in range(0, len(rows), 64):
            scores, truth, _ = model(*corrupt(_texts(corpus, rows[start : start + 64]), tokenizer)[:2])
            nats += F.cross_entropy(scores, truth, reduction="sum").item()
            right += int((scores.argmax(1) == truth).sum())
            count += len(truth)
    model.train(training)
    return {"loss": nats / count, "accuracy": right / count, "tokens": count}


def _windows(corpus: Corpus, longest: Sequence[int]) -> NDArray[np.int64]:
    """The corpus's windows from which something can be cut."""
    windows = corpus.windows(longest)
    windows = windows[windows[:, 2] - windows[:, 0] > 1]
    if not len(windows):
        raise ValueError("the corpus holds no text: give documents of at least two tokens")
    return windows


def _texts(corpus: Corpus, windows: NDArray[np.int64]) -> list[NDArray[np.uint16]]:
    return [corpus.ids[start:end] for start, _, end in windows]
