"""The models carried with the course: small, whole, opened alike by everyone, and as good as their datasheets say."""

import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, BertForPreTraining, T5ForConditionalGeneration

from sbert_lab import load, sources, static
from sbert_lab.pretraining import Pretraining, mask
from sbert_lab.tokens import Tokens

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"lab-bert": 16_000_000, "lab-t5": 16_000_000, "lab-vectors": 4_000_000}  # bytes at most
RESULTS = json.loads((ROOT / "data/results/lab_bert.json").read_text(encoding="utf-8"))
TEXTS = ["The river froze over in January.", "In winter there is ice on the water.", "She plays the violin.", ""]


@pytest.mark.parametrize("name", MODELS)
def test_a_carried_model_is_small_and_its_files_are_the_published_ones(name):
    folder = ROOT / "data" / "models" / name
    hashes = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in sources.CARRIED[name][2]}
    assert hashes == sources.CARRIED[name][2] and sources.find(name) == folder
    assert {path.name for path in folder.iterdir()} == {*hashes, "README.md"}
    assert (folder / "model.safetensors").stat().st_size <= MODELS[name]
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {str(file.get_slice(key).get_dtype()) for key in file.keys()} == {"F16"}  # noqa: SIM118


@pytest.mark.parametrize("name", MODELS)
def test_a_changed_file_is_refused(name, monkeypatch):
    monkeypatch.setitem(sources.CARRIED[name][2], "model.safetensors", "0" * 64)
    with pytest.raises(ValueError, match=f"model.safetensors of {name} is not the published file: fetch data/models/"):
        sources.find(name)


def test_lab_bert_has_the_shape_it_says():
    config = load("lab-bert").backbone.model.config
    sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
    assert sizes == (4, 256, 4, 1024)
    assert (config.vocab_size, config.max_position_embeddings) == (8192, 512)
    assert load("lab-bert").max_length == 512


def test_lab_t5_has_the_shape_it_says_and_its_decoder():
    encoder = load("lab-t5")
    t5 = T5ForConditionalGeneration.from_pretrained(sources.find("lab-t5"), dtype=torch.float32).eval()
    assert (t5.config.num_layers, t5.config.num_decoder_layers, t5.config.d_model, t5.config.d_ff) == (4, 2, 256, 1024)
    ids = encoder.backbone.tokenizer(TEXTS[0], return_tensors="pt").input_ids
    vectors = t5.encoder(ids).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode(TEXTS[0]), vectors.mean(dim=0).detach(), atol=1e-5)
    assert encoder.tokenize(["a b"])[0].ids.tolist()[-1] == encoder.backbone.tokenizer.eos_token_id


@pytest.mark.parametrize("name", ["lab-bert", "lab-t5"])
def test_every_library_computes_the_same_in_float32(name):
    encoder = load(name, device="cpu")
    theirs = SentenceTransformer(str(sources.find(name)), device="cpu")
    assert next(theirs.parameters()).dtype == torch.float32
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs.encode(TEXTS), atol=2e-6)


def bert() -> tuple[BertForPreTraining, AutoTokenizer]:
    folder = sources.find("lab-bert")
    return BertForPreTraining.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def test_it_names_a_hidden_word():
    model, tokenizer = bert()
    ids = tokenizer("He is a [MASK] actor.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = model(ids).prediction_logits[0, ids[0] == tokenizer.mask_token_id]
    assert "british" in tokenizer.convert_ids_to_tokens(scores[0].topk(10).indices.tolist())


def test_it_tells_what_follows_from_what_does_not():
    first = "The river Rhine begins in the mountains of Switzerland."
    follows = "It flows through Germany and the Netherlands into the sea."
    foreign = "She released her second album with a new band in the spring."
    model, tokenizer = bert()
    batch = tokenizer([first, first], [follows, foreign], return_tensors="pt", padding=True)
    with torch.no_grad():
        answers = model(**batch).seq_relationship_logits.argmax(1)
    assert answers.tolist() == [0, 1]


def test_it_names_hidden_words_far_better_than_their_frequency_would():
    """On the course's own sentences, which it has not read."""
    model, tokenizer = bert()
    lines = (ROOT / "data/tour/sentences.tsv").read_text(encoding="utf-8").splitlines()[1:]
    tokens, _ = Tokens.from_texts(tokenizer, [line.split("\t")[1] for line in lines], 64)
    by_frequency = Pretraining(bert()[0], tokenizer)
    with torch.no_grad():
        by_frequency.masked_head.transform.dense.weight.zero_()
        by_frequency.masked_head.transform.dense.bias.zero_()
        by_frequency.masked_head.transform.LayerNorm.bias.zero_()  # nothing is left but the output bias
    losses = []
    for heads in (Pretraining(model, tokenizer), by_frequency):
        torch.manual_seed(0)
        corrupted, hidden = mask(tokens, tokenizer, 0.15)
        with torch.no_grad():
            masked, _ = heads.losses(corrupted, tokens.ids, hidden, torch.full((len(tokens),), -100))
        losses.append(masked.item() / hidden.sum().item())
    assert losses[0] < losses[1] - 1.0


def test_the_word_vectors_know_likeness_and_skip_unknown_words():
    words = static.WordVectors.load("lab-vectors")
    river, water, violin = words.encode(["river", "water", "violin"])
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert cosine(river, water) > cosine(river, violin) + 0.1
    assert not words.encode("").any() and not words.encode("qzxv").any()


def test_the_datasheet_shows_the_measured_results():
    table = runpy.run_path(str(ROOT / "recipes" / "lab_bert_results.py"))["table"](RESULTS)
    datasheet = (ROOT / "data/models/lab-bert/README.md").read_text(encoding="utf-8")
    assert table in datasheet
    for name in ("loss", "nats_per_character", "accuracy", "next_accuracy"):
        assert f"| {RESULTS['held_out'][name]:.3f} |" in datasheet


def test_the_hashes_stand_in_the_datasheets():
    for name in MODELS:
        datasheet = (ROOT / "data/models" / name / "README.md").read_text(encoding="utf-8")
        for digest in sources.CARRIED[name][2].values():
            assert digest in datasheet
