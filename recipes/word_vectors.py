"""Train `lab-vectors`, skip-gram word vectors (Mikolov et al. 2013) with gensim: `python recipes/word_vectors.py`.

Text: Simple English Wikipedia from the folder `corpus` of SBERT_LAB_DATA, the documents that lab-bert learnt from.
Wants `pip install -c constraints.txt gensim`. About 15 minutes on one core.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from gensim.models import Word2Vec
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from sbert_lab import corpus, static

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--folder", type=Path, default=Path("runs/lab-vectors"), help="where the vectors go")
given = options.parse_args()

normalizer, pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
text = Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / "simplewiki.txt.xz"
documents, _ = corpus.split(corpus.read_documents(text))
sentences = [
    [word for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(sentence))]
    for document in documents
    for sentence in corpus.cut_sentences(document)
]
words = Word2Vec(
    sentences, vector_size=100, sg=1, window=5, negative=10, sample=1e-4, min_count=5, max_final_vocab=18_000,
    epochs=5, workers=1, seed=0,
).wv  # fmt: skip
vocabulary = {"[UNK]": 0} | {word: number for number, word in enumerate(words.index_to_key, 1)}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
vectors = np.vstack([np.zeros((1, words.vector_size), np.float32), words.vectors])  # unknown words count as nothing
static.WordVectors(tokenizer, vectors).save(given.folder)
