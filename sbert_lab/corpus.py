"""Plain text to a file of token ids, tokenised once and read straight from the disk by a pretraining.

The text has a paragraph a line and an empty line between documents. What is kept of it: the ids of every sentence, one
after the other and without special tokens, where each sentence begins, and where each document begins. A `Corpus` cuts
this into windows of whole sentences of one document and pairs them for next-sentence prediction (Devlin et al. 2019,
section 3.1 and appendix A.2). What is masked is decided in `pretraining.py`.
"""

import json
import lzma
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain, cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertTokenizer, PreTrainedTokenizerFast

from sbert_lab import distributed
from sbert_lab.tokens import Tokens

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"“(]?[A-Z0-9])")  # "Dr. Smith" is cut too: rare, and harmless here
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = 300  # different characters kept; the rest of Unicode becomes [UNK]
DOCUMENTS_AT_ONCE = 2_000
FILES = {"ids": np.uint16, "sentences": np.int64, "documents": np.int64}


def read_documents(file: str | Path) -> Iterator[list[str]]:
    """The documents of a text file, plain or xz, each as its list of paragraphs."""
    paragraphs: list[str] = []
    with lzma.open(file, "rt", encoding="utf-8") if Path(file).suffix == ".xz" else open(file, encoding="utf-8") as f:
        for line in f:
            if line.strip():
                paragraphs.append(line.strip())
            elif paragraphs:
                yield paragraphs
                paragraphs = []
    if paragraphs:
        yield paragraphs


def cut_sentences(document: Iterable[str]) -> list[str]:
    """The sentences of a document, found by their punctuation: a simple rule, and wrong after some abbreviations."""
    return [sentence for paragraph in document for sentence in SENTENCE_END.split(paragraph)]


def split(documents: Iterable[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The documents to train on, and every hundredth, the first among them, to hold out."""
    whole = list(documents)
    return [document for number, document in enumerate(whole) if number % 100], whole[::100]


def learn_wordpiece(texts: Iterable[str], size: int, longest: int = 512) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer of `size` entries, learnt from `texts`, in the form BERT's has."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), limit_alphabet=LETTERS, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = (SPECIAL.index(token) for token in ("[CLS]", "[SEP]"))  # special tokens come first, in this order
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return BertTokenizer(tokenizer_object=tokenizer, do_lower_case=True, model_max_length=longest)


class Corpus:
    """Tokenised documents in a folder, memory-mapped: `ids` (T,) uint16, and where `sentences` and `documents` begin.

    `sentences` (S + 1,) are places in `ids`, `documents` (D + 1,) places in `sentences`; the last of each is the end.
    """

    def __init__(self, folder: str | Path) -> None:
        missing = [name for name in FILES if not (Path(folder) / f"{name}.npy").is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} holds no tokenised corpus: {missing[0]}.npy is missing")
        self.ids, self.sentences, self.documents = (
            np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in FILES
        )

    @classmethod
    def write(
        cls, folder: str | Path, documents: Iterable[Sequence[str]], tokenizer: PreTrainedTokenizerFast
    ) -> "Corpus":
        """Tokenise `documents` into `folder`, and open it. Raises ValueError for a vocabulary beyond 65,536 entries."""
        if len(tokenizer) > 2**16:
            raise ValueError(f"the tokenizer has {len(tokenizer)} entries: ids are kept in 16 bits, so at most 65536")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        blocks, lengths, counts = [], [np.zeros(1, np.int64)], [0]
        for texts, sizes in _blocks(documents):
            found = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            blocks.append(np.fromiter((i for ids in found for i in ids), np.uint16))
            lengths.append(np.array([len(ids) for ids in found]))
            counts += sizes
        if not blocks:
            raise ValueError("there are no documents to tokenise: give at least one")
        whole = (np.concatenate(blocks), np.concatenate(lengths).cumsum(), np.cumsum(counts))
        for (name, kind), content in zip(FILES.items(), whole, strict=True):
            np.save(folder / f"{name}.npy", content.astype(kind))
        return cls(folder)

    @classmethod
    def prepare(
        cls, folder: str | Path, files: Sequence[str | Path], vocabulary: int | PreTrainedTokenizerFast = 8192
    ) -> "tuple[PreTrainedTokenizerFast, Corpus, Corpus]":
        """A tokenizer, the text to train on and the text held out (of the first file), made in `folder` if not there.

        `vocabulary` is the number of entries of a tokenizer to be learnt from the text, or a tokenizer to be used.
        Under torchrun process 0 makes them and the others wait. Raises ValueError where `folder` holds those of others.
        """
        tokenizer_at, text_at, held_out_at, made = (
            Path(folder) / name for name in ("tokenizer", "train", "held-out", "made.json")
        )
        names = [Path(file).name for file in files]
        known = vocabulary if isinstance(vocabulary, int) else _digest(vocabulary)
        asked = {"files": names, "vocabulary": known}
        if distributed.rank() == 0 and not made.exists():
            texts, held_out = split(read_documents(files[0]))
            texts += chain.from_iterable(map(read_documents, files[1:]))
            if isinstance(vocabulary, int):
                tokenizer = learn_wordpiece(chain.from_iterable(texts), vocabulary)
            else:
                tokenizer = vocabulary
            tokenizer.save_pretrained(tokenizer_at)
            cls.write(text_at, texts, tokenizer)
            cls.write(held_out_at, held_out, tokenizer)
            made.write_text(json.dumps(asked), encoding="utf-8")
        distributed.wait()
        there = json.loads(made.read_text(encoding="utf-8"))
        if there != asked:
            raise ValueError(f"{folder} holds a corpus made of {there}, not of {asked}: choose another folder")
        return BertTokenizer.from_pretrained(tokenizer_at), cls(text_at), cls(held_out_at)

    def windows(self, longest: Sequence[int]) -> NDArray[np.int64]:
        """Neighbouring sentences of one document, with [CLS] A [SEP] B [SEP] at most `longest` tokens: (W, 3).

        The documents take the lengths of `longest` in turn: (64, 64, 64, 512) reads every fourth in long windows.
        Each row is start, border and end in `ids`; A ends and B begins at the border, the sentence border nearest the
        middle. Where there is none, as in a single sentence, border = end; a sentence that is too long loses its rest.
        """
        starts, found = self.sentences[:].tolist(), []
        spans = zip(self.documents[:-1].tolist(), self.documents[1:].tolist(), cycle(longest))
        for first, last, length in spans:  # cycle has no end of its own
            room = length - 3
            while first < last:
                stop = first + 1
                while stop < last and starts[stop + 1] - starts[first] <= room:
                    stop += 1
                start, end = starts[first], min(starts[stop], starts[first] + room)
                border = min(starts[first + 1 : stop], key=_distance_from((start + end) / 2), default=end)
                if end > start:
                    found.append((start, border, end))
                first = stop
        return np.array(found, np.int64).reshape(-1, 3)

    def pairs(
        self, windows: NDArray[np.int64], tokenizer: PreTrainedTokenizerFast, swap: float = 0.5
    ) -> tuple[Tokens, Tensor]:
        """The windows as [CLS] A [SEP] B [SEP] of B rows, and whether B is another's: (B,) 0 next, 1 not, -100 no B.

        About a share `swap` of the rows exchange their second pieces, in twos that are neighbours in length, the longer
        piece cut, so that lengths tell next to nothing; drawn from torch's global random state.
        """
        cls_id, sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        firsts = [self.ids[start:border] for start, border, _ in windows]
        seconds = [self.ids[border:end] for _, border, end in windows]
        labels = torch.tensor([0 if len(second) else -100 for second in seconds])
        moved = [i for i in torch.nonzero(torch.rand(len(windows)) < swap)[:, 0].tolist() if len(seconds[i])]
        moved.sort(key=lambda i: len(seconds[i]))
        for shorter, longer in zip(moved[::2], moved[1::2], strict=False):  # an odd one stays as it is
            cut = seconds[longer][: len(seconds[shorter])]
            seconds[shorter], seconds[longer] = cut, seconds[shorter]
            labels[[shorter, longer]] = 1
        parts, segments, lengths = [], [], []
        for a, b in zip(firsts, seconds, strict=True):
            row = [[cls_id], a, [sep_id]] + ([b, [sep_id]] if len(b) else [])
            parts += row
            segments += [0] * (len(a) + 2) + [1] * (len(b) + 1 if len(b) else 0)
            lengths.append(sum(map(len, row)))
        ids = torch.from_numpy(np.concatenate(parts).astype(np.int64))  # (T,)
        return Tokens(ids, torch.tensor(lengths), torch.tensor(segments)), labels


def _digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """Tells vocabularies apart, also those of the same entries under other ids."""
    entries = tokenizer.convert_ids_to_tokens([*range(len(tokenizer))])
    return sha256("\n".join(entries).encode()).hexdigest()[:16]


def _distance_from(middle: float) -> Callable[[int], float]:
    return lambda place: abs(place - middle)


def _blocks(documents: Iterable[Sequence[str]]) -> Iterator[tuple[list[str], list[int]]]:
    """Sentences of many documents at a time, and how many each document has."""
    texts: list[str] = []
    sizes: list[int] = []
    for document in documents:
        found = cut_sentences(document)
        texts += found
        sizes.append(len(found))
        if len(sizes) == DOCUMENTS_AT_ONCE:
            yield texts, sizes
            texts, sizes = [], []
    if sizes:
        yield texts, sizes
