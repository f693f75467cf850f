"""Word vectors and their average: the sentence encoder before BERT, and the baseline beside it.

A word has one vector whatever stands around it ("static"), and a text is the mean of its words: the "Avg. GloVe
embeddings" of Reimers & Gurevych 2019, table 1. The vectors come from a folder in the form of sentence-transformers'
`StaticEmbedding`, from the input embeddings of a model, or from counting which words stand near which (`ppmi_svd`).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from sbert_lab.sources import find
from sbert_lab.tokens import check_text


class WordVectors:
    """A tokenizer and a vector for each of its entries, (V, D); entries that mean nothing have a vector of zeros."""

    def __init__(self, tokenizer: Tokenizer, vectors: NDArray[np.float32]) -> None:
        size = tokenizer.get_vocab_size()
        if np.ndim(vectors) != 2 or len(vectors) != size:
            raise ValueError(f"the vectors have shape {np.shape(vectors)}: give one for each of the {size} entries")
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a copy, whose settings nobody else changes
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.vectors = np.asarray(vectors, dtype=np.float32)

    @classmethod
    def load(cls, name_or_folder: str | Path) -> "WordVectors":
        """The word vectors in a folder, or those carried with the course: WordVectors.load("lab-vectors").

        Raises FileNotFoundError where they are not found.
        """
        folder = find(name_or_folder)
        for name in ("tokenizer.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name} is missing: give a folder that WordVectors.save has written")
        vectors = load_file(folder / "model.safetensors")["embedding.weight"]
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), vectors.float().numpy())

    def save(self, folder: str | Path) -> None:
        """Write the vectors in half precision, and the tokenizer, to `folder`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(Path(folder) / "tokenizer.json"), pretty=False)
        save_file({"embedding.weight": torch.from_numpy(self.vectors).half()}, Path(folder) / "model.safetensors")

    def encode(self, texts: str | Iterable[str]) -> NDArray[np.float32]:
        """The mean of each text's word vectors: (D,) for one str, (N, D) for many; zeros for a text without a word."""
        if isinstance(texts, str):
            return self.encode([texts])[0]
        texts = list(texts)
        for number, text in enumerate(texts):
            check_text(text, f"text {number}")
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        offsets = np.cumsum([0, *map(len, ids)])[:-1]
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.int64)  # (T,)
        return F.embedding_bag(flat, torch.from_numpy(self.vectors), torch.from_numpy(offsets), mode="mean").numpy()


def ppmi_svd(ids: NDArray[np.uint16], size: int, dimension: int, window: int = 5, seed: int = 0) -> NDArray[np.float32]:
    """Vectors of the entries 0 to `size` - 1 from the neighbourhoods in `ids` (T,): (size, dimension).

    Counts neighbours up to `window` away, nearer ones more (1/distance), keeps how much oftener than by chance two
    entries meet (positive pointwise mutual information) and compresses that: Levy et al. 2015. Skip-gram factorises
    nearly the same matrix, shifted by a constant (Levy & Goldberg 2014). An entry without neighbours gets zeros.
    """
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_svd

    counts = csr_matrix((size, size), dtype=np.float64)
    for distance in range(1, min(window, len(ids) - 1) + 1):
        weight = np.full(len(ids) - distance, 1 / distance)
        counts += csr_matrix((weight, (ids[:-distance], ids[distance:])), shape=(size, size))
    pairs = (counts + counts.T).tocoo()
    often = np.bincount(pairs.row, pairs.data, minlength=size)  # (size,)
    context = often**0.75 / (often**0.75).sum()  # rare contexts count a little less: Levy et al. 2015
    information = np.log(pairs.data / (often[pairs.row] * context[pairs.col]))
    positive = information > 0
    kept = (information[positive], (pairs.row[positive], pairs.col[positive]))
    matrix = csr_matrix(kept, shape=(size, size))
    u, strength, _ = randomized_svd(matrix, dimension, n_iter=3, random_state=seed)
    u[matrix.getnnz(axis=1) == 0] = 0  # where rounding leaves 1e-14
    return (u * np.sqrt(strength)).astype(np.float32)
