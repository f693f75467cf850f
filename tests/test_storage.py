"""Folders mean the same here and in sentence-transformers, both ways; what would not is refused in one sentence.

The oracle is `SentenceTransformer`: it opens what is saved here, and what it saves is loaded here. Vectors of the tiny
random models are of size one to ten, so that an absolute 1e-5 is a tight bound. Nothing here needs a network.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense as LibraryDense
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny import TEXTS, VOCABULARY, tiny_model, tiny_tokenizer
from transformers.utils import logging as transformers_logging

from sbert_lab import folders, sources, storage
from sbert_lab.backbone import Backbone
from sbert_lab.encoder import ACTIVATIONS, Dense, Encoder
from sbert_lab.storage import load, save

FAMILIES = ["bert", "roberta", "t5", "mpnet", "modernbert"]
ROWS = max(VOCABULARY.values()) + 1  # of a token table in which every id has its vector
LONG = "the old cat sat on the red mat in the rain " * 20  # more tokens than any tiny model takes
CLOSE = {"rtol": 0, "atol": 1e-5}


def library(folder: Path | str) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})


def assert_same(encoder: Encoder, other: SentenceTransformer | Encoder) -> None:
    texts = [*TEXTS, "Ünïcode, 猫!"]
    np.testing.assert_allclose(encoder.encode(texts), other.encode(texts), **CLOSE)


def edit(path: Path, *gone: str, **changes: object) -> None:
    """Change keys of a JSON file, take `gone` out of it."""
    content = json.loads(path.read_text()) if path.exists() else {}
    kept = {key: value for key, value in content.items() if key not in gone}
    path.write_text(json.dumps(kept | changes))


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


# ---- the model that comes with the course --------------------------------------------------------------------------

REAL_TEXTS = {
    "empty": "",
    "one token": "cat",
    "5,000 characters": ("A cat sat by the window and watched the slow rain fall. " * 100)[:5000],
    "emoji": "so happy 😀👩‍🚀 today 🎉",
    "chinese": "一只猫坐在窗边看雨。",
    "arabic": "جلست القطة بجانب النافذة",
    "duplicate": "cat",
    "plain": "The boat left the harbour before sunrise.",
}


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load("all-MiniLM-L6-v2", device="cpu")


@pytest.fixture(scope="module")
def library_minilm() -> SentenceTransformer:
    return library(sources.carried("all-MiniLM-L6-v2"))


@pytest.mark.filterwarnings("ignore:.*were cut at")
@pytest.mark.parametrize("name", REAL_TEXTS)
def test_minilm_alone(name: str, minilm: Encoder, library_minilm: SentenceTransformer) -> None:
    text = REAL_TEXTS[name]
    np.testing.assert_allclose(minilm.encode(text), library_minilm.encode(text), **CLOSE)


def test_minilm_mixed_batch(minilm: Encoder, library_minilm: SentenceTransformer) -> None:
    texts = [*REAL_TEXTS.values()]
    with pytest.warns(UserWarning, match="1 of 8 texts were cut at 256 tokens"):
        vectors = minilm.encode(texts)
    np.testing.assert_allclose(vectors, library_minilm.encode(texts, batch_size=3), **CLOSE)
    assert minilm.max_length == library_minilm.max_seq_length == 256


def test_minilm_beyond_256_tokens(minilm: Encoder, library_minilm: SentenceTransformer) -> None:
    """The folder's limit is a choice; the model has 512 positions, and whoever asks for them gets them."""
    assert minilm.backbone.longest == 512
    longer = Encoder(minilm.backbone, minilm.pooling, normalize=minilm.normalize, max_length=512).eval()
    text = REAL_TEXTS["5,000 characters"]
    with pytest.warns(UserWarning, match="1 of 1 texts were cut at 512 tokens"):
        vectors = longer.encode([text])
    library_minilm.max_seq_length = 512
    try:
        np.testing.assert_allclose(vectors, library_minilm.encode([text]), **CLOSE)
    finally:
        library_minilm.max_seq_length = 256


def test_minilm_weights_are_the_published_ones() -> None:
    published = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert sources.CARRIED["all-MiniLM-L6-v2"][2]["model.safetensors"] == published
    folder = sources.carried("sentence-transformers/all-MiniLM-L6-v2")
    assert folder == sources.carried("all-MiniLM-L6-v2")
    assert sources._sha256(folder / "model.safetensors") == published


@pytest.mark.parametrize("file", sources.CARRIED["all-MiniLM-L6-v2"][2])
def test_a_changed_carried_file_is_noticed(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sources.carried("all-MiniLM-L6-v2")
    for name in sources.CARRIED["all-MiniLM-L6-v2"][2]:
        copy = tmp_path / "changed_model" / "model" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(original / name)
    (tmp_path / "changed_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    entry = ("changed_model", *sources.CARRIED["all-MiniLM-L6-v2"][1:])
    monkeypatch.setitem(sources.CARRIED, "copied", entry)
    assert sources.carried("copied") == tmp_path / "changed_model" / "model"
    changed = tmp_path / "changed_model" / "model" / file
    changed.unlink()
    changed.write_bytes((original / file).read_bytes()[:-1] + b" ")
    with pytest.raises(ValueError, match=f"{file} of copied is not the published file"):
        sources.carried("copied")


def test_a_carried_model_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.CARRIED, "absent", ("no_such_package_here", "model", {}))
    with pytest.raises(ModuleNotFoundError, match="pip install no_such_package_here"):
        sources.carried("absent")


# ---- both ways -----------------------------------------------------------------------------------------------------


def build(family: str, pooling: str = "mean", layers: tuple[str, ...] = (), normalize: bool = False) -> Encoder:
    backbone = Backbone(tiny_model(family, vocab_size=ROWS), tiny_tokenizer())
    torch.manual_seed(1)
    dense = [Dense(32 - 8 * n, 24 - 8 * n, activation, bias=n == 0) for n, activation in enumerate(layers)]
    return Encoder(backbone, pooling, dense, normalize).eval()


def library_build(folder: Path, encoder: Encoder) -> SentenceTransformer:
    """The same encoder made of the library's own parts; `folder` takes the transformers model."""
    encoder.backbone.model.save_pretrained(folder)
    encoder.backbone.tokenizer.save_pretrained(folder)
    modes = {"mean_sqrt_len": "mean_sqrt_len_tokens", "last": "lasttoken"}
    modules = [Transformer(str(folder)), Pooling(32, modes.get(encoder.pooling, encoder.pooling))]
    for layer in encoder.dense:
        weights, activation = layer.linear, ACTIVATIONS[layer.activation]()
        shape = weights.in_features, weights.out_features
        modules.append(LibraryDense(*shape, bias=weights.bias is not None, activation_function=activation))
        modules[-1].load_state_dict(layer.state_dict())
    return SentenceTransformer(modules=[*modules, *([Normalize()] if encoder.normalize else [])], device="cpu")


SHAPES = [
    *[(family, "mean", (), False) for family in FAMILIES],
    *[("bert", pooling, (), False) for pooling in ("cls", "max", "mean_sqrt_len", "last")],
    *[("bert", "mean", (activation,), False) for activation in ACTIVATIONS],
    ("roberta", "cls", ("tanh",), True),
    ("t5", "last", ("identity", "relu"), True),
    ("modernbert", "mean", (), True),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_saved_here_opens_there_and_here(shape: tuple, tmp_path: Path) -> None:
    encoder = build(*shape)
    save(encoder, tmp_path / "saved")
    assert_same(encoder, library(tmp_path / "saved"))
    again = load(tmp_path / "saved", device="cpu")
    assert np.array_equal(encoder.encode(TEXTS), again.encode(TEXTS))
    assert not any(module.training for module in again.modules())
    assert (again.pooling, again.normalize, again.max_length) == (shape[1], shape[3], encoder.max_length)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_saved_there_opens_here(shape: tuple, tmp_path: Path) -> None:
    model = library_build(tmp_path / "parts", build(*shape))
    model.save(str(tmp_path / "saved"))
    assert_same(load(tmp_path / "saved", device="cpu"), model)


def test_the_classic_form_is_written(tmp_path: Path) -> None:
    save(build("bert", "last", ("gelu",), True), tmp_path / "saved")
    types = [entry["type"] for entry in json.loads((tmp_path / "saved" / "modules.json").read_text())]
    assert types == [
        f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Dense", "Normalize")
    ]
    pooling = json.loads((tmp_path / "saved" / "1_Pooling" / "config.json").read_text())
    assert [key for key, value in pooling.items() if value is True] == ["pooling_mode_lasttoken"]
    dense = json.loads((tmp_path / "saved" / "2_Dense" / "config.json").read_text())
    assert dense["activation_function"] == "torch.nn.modules.activation.GELU"


def test_a_saved_folder_keeps_no_trace_of_packing_or_of_the_machine(tmp_path: Path) -> None:
    save(build("bert"), tmp_path / "first")
    encoder = load(tmp_path / "first", device="cpu")
    encoder.encode(TEXTS)
    save(encoder, tmp_path / "second")
    for name in ("config.json", "tokenizer_config.json", "sentence_bert_config.json", "modules.json"):
        text = (tmp_path / "second" / name).read_text()
        assert "packed" not in text
        assert str(tmp_path) not in text


def test_saved_weights_can_be_read_by_whoever_can_read_the_rest(tmp_path: Path) -> None:
    save(build("bert", "mean", ("tanh",)), tmp_path / "saved")
    modes = {path.stat().st_mode for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert len(modes) == 1


# ---- three generations, and other forms of the same model ----------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder saved here: bert, mean, a dense layer, unit length."""
    save(build("bert", "mean", ("tanh",), True), tmp_path / "saved")
    return tmp_path / "saved"


GENERATIONS = {
    "classic": "sentence_transformers.models.{kind}",
    "five": "sentence_transformers.models.{kind}.{kind}",
    "six": "sentence_transformers.{package}.modules.{file}.{kind}",
    "six, package": "sentence_transformers.{package}.modules.{kind}",
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_generations(generation: str, saved: Path) -> None:
    before = load(saved, device="cpu")
    listing = json.loads((saved / "modules.json").read_text())
    for entry in listing:
        kind = entry["type"].split(".")[-1]
        package = "sentence_transformer" if kind == "Pooling" else "base"
        entry["type"] = GENERATIONS[generation].format(kind=kind, package=package, file=kind.lower())
    (saved / "modules.json").write_text(json.dumps(listing))
    if "six" in generation:
        flags = [flag for _, flag in storage.POOLINGS_ON_DISK.values()]
        pooling = {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}
        edit(saved / "1_Pooling" / "config.json", "word_embedding_dimension", *flags, **pooling)
        inputs = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
        edit(saved / "2_Dense" / "config.json", **inputs, use_residual=False)
        edit(saved / "3_Normalize" / "config.json", **inputs)
    assert_same(load(saved, device="cpu"), library(saved))
    assert_same(load(saved, device="cpu"), before)


def to_half(folder: Path) -> None:
    edit_weights(folder / "model.safetensors", lambda weights: {k: w.half() for k, w in weights.items()})
    edit(folder / "config.json", dtype="float16", torch_dtype="float16")


def with_half_named(folder: Path) -> None:
    edit(folder / "config.json", dtype="float16", torch_dtype="float16")  # the weights are float32


def to_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = {key: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, key in enumerate(weights)}
    for name in set(names.values()):
        part = {key: weight for key, weight in weights.items() if names[key] == name}
        save_file(part, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    edit(folder / "model.safetensors.index.json", metadata={"total_size": 0}, weight_map=names)


def to_subfolder(folder: Path) -> None:
    (folder / "0_Transformer").mkdir()
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")
    for name in names:
        (folder / name).rename(folder / "0_Transformer" / name)
    listing = json.loads((folder / "modules.json").read_text())
    listing[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(listing))


def to_plain(folder: Path) -> None:
    for path in [folder / "modules.json", folder / "sentence_bert_config.json", *folder.glob("[123]_*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def without_pooler(folder: Path) -> None:
    edit_weights(folder / "model.safetensors", lambda weights: {k: w for k, w in weights.items() if "pooler" not in k})


def with_other_heads(folder: Path) -> None:
    edit_weights(
        folder / "model.safetensors",
        lambda weights: {f"bert.{k}": w for k, w in weights.items()} | {"cls.predictions.bias": torch.zeros(ROWS)},
    )


def without_normalize_folder(folder: Path) -> None:
    shutil.rmtree(folder / "3_Normalize")


def with_roberta_config_name(folder: Path) -> None:
    edit(folder / "sentence_bert_config.json", max_seq_length=5)
    (folder / "sentence_bert_config.json").rename(folder / "sentence_roberta_config.json")


def with_named_prompts(folder: Path) -> None:
    edit(folder / "config_sentence_transformers.json", prompts={"query": "query: "}, default_prompt_name=None)


def with_empty_default_prompt(folder: Path) -> None:
    edit(folder / "config_sentence_transformers.json", prompts={"query": ""}, default_prompt_name="query")


def with_no_pooling_flag(folder: Path) -> None:
    edit(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False)


def with_unused_weightedmean_flag(folder: Path) -> None:
    edit(folder / "1_Pooling" / "config.json", pooling_mode_weightedmean_tokens=False)


def with_cut_length(folder: Path) -> None:
    edit(folder / "sentence_bert_config.json", max_seq_length=6)


def with_more_length_than_the_tokenizer_says(folder: Path) -> None:
    edit(folder / "sentence_bert_config.json", max_seq_length=72)  # of 64 and 80 positions


def without_length(folder: Path) -> None:
    edit(folder / "sentence_bert_config.json", max_seq_length=None)


FORMS = [
    to_half,
    with_half_named,
    to_shards,
    to_subfolder,
    to_plain,
    without_pooler,
    with_other_heads,
    without_normalize_folder,
    with_roberta_config_name,
    with_named_prompts,
    with_empty_default_prompt,
    with_no_pooling_flag,
    with_unused_weightedmean_flag,
    with_cut_length,
    with_more_length_than_the_tokenizer_says,
    without_length,
]


@pytest.mark.filterwarnings("ignore:.*were cut at")
@pytest.mark.parametrize("change", FORMS, ids=lambda change: change.__name__)
def test_other_forms_read_as_the_library_reads_them(change: Callable[[Path], None], saved: Path) -> None:
    change(saved)
    encoder, other = load(saved, device="cpu"), library(saved)
    assert_same(encoder, other)
    np.testing.assert_allclose(encoder.encode(LONG), other.encode(LONG), **CLOSE)
    assert encoder.max_length == other.max_seq_length
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}


def test_what_was_half_precision_is_saved_as_float32(saved: Path, tmp_path: Path) -> None:
    to_half(saved)
    encoder = load(saved, device="cpu")
    save(encoder, tmp_path / "again")
    assert_same(encoder, SentenceTransformer(str(tmp_path / "again"), device="cpu"))  # reads the precision in the file


def test_a_word_list_is_tokenizer_enough(tmp_path: Path) -> None:
    folder = sources.carried("all-MiniLM-L6-v2")
    tiny_model("bert", vocab_size=30522).save_pretrained(tmp_path)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(folder / name, tmp_path / name)
    assert_same(load(tmp_path, device="cpu"), library(tmp_path))


def test_roberta_is_cut_where_its_positions_end(tmp_path: Path) -> None:
    save(build("roberta"), tmp_path / "saved")
    edit(tmp_path / "saved" / "sentence_bert_config.json", max_seq_length=80)
    encoder = load(tmp_path / "saved", device="cpu")
    assert encoder.max_length == 78
    with pytest.warns(UserWarning, match="1 of 1 texts were cut at 78 tokens"):
        assert np.isfinite(encoder.encode([LONG])).all()


def test_the_attention_is_not_the_files_choice(tmp_path: Path) -> None:
    encoder = build("t5")
    save(encoder, tmp_path / "saved")
    edit(tmp_path / "saved" / "config.json", attn_implementation="packed")  # which would drop T5's position bias
    assert_same(load(tmp_path / "saved", device="cpu"), encoder)


def test_precision_is_passed_on(saved: Path) -> None:
    assert load(saved, device="cpu", precision=torch.bfloat16).backbone.precision == torch.bfloat16


# ---- the Hub -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hub cache that holds `someone/tiny` as the Hub's client lays it out: a snapshot of links to blobs."""
    model = tmp_path / "hub" / "models--someone--tiny"
    snapshot = model / "snapshots" / ("a" * 40)
    for number, path in enumerate(path for path in saved.rglob("*") if path.is_file()):
        blob, link = model / "blobs" / str(number), snapshot / path.relative_to(saved)
        for file in (blob, link):
            file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_in_the_hub_cache(cached: Path, saved: Path) -> None:
    assert np.array_equal(load("someone/tiny", device="cpu").encode(TEXTS), load(saved, device="cpu").encode(TEXTS))


def test_a_bare_name_means_the_librarys_model_where_there_is_no_other(cached: Path, saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be reached"):
        load("tiny")
    hub = cached.parents[2]
    shutil.copytree(hub / "models--someone--tiny", hub / "models--sentence-transformers--tiny", symlinks=True)
    assert_same(load("tiny", device="cpu"), load(saved, device="cpu"))
    with pytest.raises(FileNotFoundError, match="'else/tiny' is neither"):
        load("else/tiny")


def test_a_bare_name_that_the_hub_has_goes_first(cached: Path) -> None:
    hub = cached.parents[2]
    for name in ("tiny", "sentence-transformers--tiny"):
        shutil.copytree(hub / "models--someone--tiny", hub / f"models--{name}", symlinks=True)
    assert sources.find("tiny").relative_to(hub).parts[0] == "models--tiny"


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [("nonesuch", ["nonesuch", "sentence-transformers/nonesuch"]), ("someone/nonesuch", ["someone/nonesuch"])],
)
def test_a_name_that_the_hub_does_not_know(name: str, looked_for: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(full_name: str, **options: object) -> str:
        asked.append(full_name)
        raise RepositoryNotFoundError(full_name, response=Mock())

    monkeypatch.setattr(sources, "snapshot_download", unknown)
    with pytest.raises(FileNotFoundError, match=f"'{name}' is neither .*, and .* no public model of that name"):
        load(name)
    assert asked == looked_for


def test_a_link_out_of_the_hub_cache(cached: Path, saved: Path) -> None:
    (cached / "config.json").unlink()
    (cached / "config.json").symlink_to(saved / "config.json")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        load("someone/tiny")


@pytest.mark.parametrize("name", ["someone/else", "no-such-model", "bert-base-uncased"])
def test_an_unknown_name_offline_lists_what_there_is(name: str, cached: Path) -> None:
    expected = (
        f"'{name}' is neither a folder nor a model that comes with the course "
        "(all-MiniLM-L6-v2, lab-bert, lab-t5, lab-vectors), and the Hugging Face Hub cannot be reached: "
        "give a folder or one of these names"
    )
    with pytest.raises(FileNotFoundError) as error:
        load(name)
    assert str(error.value) == expected


def test_only_safe_files_are_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    asked = {}
    monkeypatch.setattr(sources, "snapshot_download", lambda name, **options: asked.update(options) or str(saved))
    load("someone/tiny", device="cpu")
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in asked["allow_patterns"])


# ---- refusals ------------------------------------------------------------------------------------------------------


def modules(folder: Path, number: int, **changes: object) -> None:
    listing = json.loads((folder / "modules.json").read_text())
    listing[number] |= changes
    (folder / "modules.json").write_text(json.dumps(listing))


def reorder(folder: Path, *order: int) -> None:
    listing = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([listing[number] for number in order]))


def link(path: Path, target: Path) -> None:
    """Replace `path` by a link to a copy of it at `target`, outside the folder."""
    shutil.move(path, target)
    path.symlink_to(target)


def pickled(path: Path) -> None:
    path.with_name("pytorch_model.bin").write_bytes(b"\x80\x04.")
    path.unlink()


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def set_weight(path: Path, name: str, value: float) -> None:
    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        weights[name].view(-1)[3] = value
        return weights

    edit_weights(path, change)


def config(folder: Path, **changes: object) -> None:
    edit(folder / "config.json", **changes)


def pooling(folder: Path, **changes: object) -> None:
    edit(folder / "1_Pooling" / "config.json", **changes)


def dense(folder: Path, **changes: object) -> None:
    edit(folder / "2_Dense" / "config.json", **changes)


def transformer(folder: Path, **changes: object) -> None:
    edit(folder / "sentence_bert_config.json", **changes)


def model_config(folder: Path, **changes: object) -> None:
    edit(folder / "config_sentence_transformers.json", **changes)


def library_type(kind: str) -> str:
    return f"sentence_transformers.models.{kind}"


def tokenizer_of(folder: Path, words: int) -> None:
    """A tokenizer with `words` more entries than the model has rows."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"extra{number}" for number in range(words)])
    tokenizer.save_pretrained(folder)


def empty_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.json").write_text("{}")  # files of another family: BERT's tokenizer reads neither
    (folder / "merges.txt").write_text("#version: 0.2\n")


def shards_outside(folder: Path) -> None:
    to_shards(folder)
    edit(folder / "model.safetensors.index.json", weight_map={"embeddings": "../elsewhere.safetensors"})


REFUSED: list[tuple[str, Callable[[Path], object], type[Exception], str]] = [
    # Files that are not there, or not what they should be
    ("weights are a pickle", lambda f: pickled(f / "model.safetensors"), ValueError, "only as a pickle"),
    (
        "dense weights are a pickle",
        lambda f: pickled(f / "2_Dense/model.safetensors"),
        FileNotFoundError,
        "never from a pickle",
    ),
    ("no weights", lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "model.safetensors is missing"),
    ("no config", lambda f: (f / "config.json").unlink(), FileNotFoundError, "config.json is missing"),
    (
        "no pooling config",
        lambda f: (f / "1_Pooling/config.json").unlink(),
        FileNotFoundError,
        "1_Pooling.* is missing",
    ),
    ("no tokenizer", lambda f: (f / "tokenizer.json").unlink(), FileNotFoundError, "has no tokenizer"),
    ("empty tokenizer", empty_tokenizer, ValueError, "tokenizer in .* is empty"),
    ("truncated header", lambda f: truncate(f / "model.safetensors", 100), ValueError, "truncated or damaged"),
    ("truncated weights", lambda f: truncate(f / "model.safetensors", 60_000), ValueError, "truncated or damaged"),
    ("empty weights", lambda f: truncate(f / "model.safetensors", 0), ValueError, "truncated or damaged"),
    ("truncated dense", lambda f: truncate(f / "2_Dense/model.safetensors", 300), ValueError, "truncated or damaged"),
    ("bad JSON", lambda f: (f / "config.json").write_text('{\n"a": 1,\n}'), ValueError, "config.json .* line 3"),
    ("bad modules", lambda f: (f / "modules.json").write_text("[\n{]"), ValueError, "modules.json .* line 2"),
    ("bad tokenizer", lambda f: (f / "tokenizer.json").write_text("{\n\n1}"), ValueError, "tokenizer.json .* line 3"),
    ("not UTF-8", lambda f: (f / "config.json").write_bytes(b"\xff\xfe{"), ValueError, "not UTF-8"),
    ("modules is not a list", lambda f: (f / "modules.json").write_text("{}"), ValueError, "dict where a list belongs"),
    (
        "modules of strings",
        lambda f: (f / "modules.json").write_text('["a"]'),
        ValueError,
        "module 'a' is not supported",
    ),
    ("an adapter", lambda f: (f / "adapter_config.json").write_text("{}"), ValueError, "holds an adapter"),
    # Ways out of the folder, and code
    ("path up", lambda f: modules(f, 1, path="../elsewhere"), ValueError, "leads out of the model's folder"),
    ("path absolute", lambda f: modules(f, 1, path="/"), ValueError, "leads out of the model's folder"),
    ("link", lambda f: link(f / "config.json", f.parent / "c"), ValueError, "leads out of the model's folder"),
    ("link to a folder", lambda f: link(f / "2_Dense", f.parent / "d"), ValueError, "leads out of the model's folder"),
    ("shard outside", shards_outside, ValueError, "leads out of the model's folder"),
    ("auto_map", lambda f: config(f, auto_map={"AutoModel": "code.Model"}), ValueError, "auto_map"),
    (
        "auto_map of the tokenizer",
        lambda f: edit(f / "tokenizer_config.json", auto_map={"AutoTokenizer": ["code.Tokenizer", None]}),
        ValueError,
        "auto_map .* would run code",
    ),
    # Weights and config at odds
    (
        "NaN",
        lambda f: set_weight(f / "model.safetensors", "embeddings.LayerNorm.bias", float("nan")),
        ValueError,
        "NaN",
    ),
    (
        "inf in dense",
        lambda f: set_weight(f / "2_Dense/model.safetensors", "linear.bias", float("inf")),
        ValueError,
        "NaN",
    ),
    ("narrower config", lambda f: config(f, hidden_size=16), ValueError, "another shape"),
    ("fewer words", lambda f: config(f, vocab_size=ROWS - 1), ValueError, "another shape"),
    ("more layers", lambda f: config(f, num_hidden_layers=3), ValueError, "has no weights for encoder.layer.2"),
    ("fewer layers", lambda f: config(f, num_hidden_layers=1), ValueError, "does not provide for, encoder.layer.1"),
    (
        "larger vocabulary",
        lambda f: tokenizer_of(f, 5),
        ValueError,
        f"has ids up to .*, the model only {ROWS} token vectors",
    ),
    ("impossible config", lambda f: config(f, num_attention_heads=5), ValueError, "cannot be loaded"),
    ("dense of another shape", lambda f: dense(f, out_features=7), ValueError, "does not fit .*size mismatch"),
    ("dense without its bias", lambda f: dense(f, bias=False), ValueError, "does not fit .*linear.bias"),
    ("dense without a shape", lambda f: edit(f / "2_Dense/config.json", "in_features"), ValueError, "in_features"),
    ("pooling of another width", lambda f: pooling(f, word_embedding_dimension=16), ValueError, "have 32 numbers"),
    # What this encoder cannot compute
    ("unknown model", lambda f: config(f, model_type="unheard-of"), ValueError, "unheard-of"),
    ("encoder-decoder", lambda f: config(f, model_type="bart"), ValueError, "bart is an encoder-decoder"),
    ("decoder", lambda f: config(f, is_decoder=True), ValueError, "is_decoder = True"),
    ("quantized", lambda f: config(f, quantization_config={"bits": 4}), ValueError, "quantization_config"),
    ("relative positions", lambda f: config(f, position_embedding_type="relative_key"), ValueError, "relative_key"),
    ("unknown module", lambda f: modules(f, 1, type=library_type("LSTM")), ValueError, "module '.*LSTM'"),
    ("foreign module", lambda f: modules(f, 0, type="code.Transformer"), ValueError, "module 'code.Transformer'"),
    ("normalize before dense", lambda f: reorder(f, 0, 1, 3, 2), ValueError, "Transformer Pooling Normalize Dense"),
    ("no pooling", lambda f: reorder(f, 0, 2, 3), ValueError, "'Transformer Dense Normalize' is not"),
    ("nothing", lambda f: reorder(f), ValueError, "'' is not Transformer"),
    ("two poolings", lambda f: pooling(f, pooling_mode_cls_token=True), ValueError, r"\['cls', 'mean'\] is not"),
    ("two poolings, new", lambda f: pooling(f, pooling_mode=["mean", "max"]), ValueError, r"\['mean', 'max'\] is not"),
    ("weightedmean", lambda f: pooling(f, pooling_mode="weightedmean"), ValueError, "weightedmean"),
    (
        "weightedmean flag",
        lambda f: pooling(f, pooling_mode_weightedmean_tokens=True),
        ValueError,
        "pooling_mode_weightedmean_tokens = True",
    ),
    ("unknown pooling", lambda f: pooling(f, pooling_mode="median"), ValueError, "median"),
    ("unknown flag", lambda f: pooling(f, pooling_mode_median=True), ValueError, "pooling_mode_median = True"),
    ("pooling without prompt", lambda f: pooling(f, include_prompt=False), ValueError, "include_prompt = False"),
    (
        "activation",
        lambda f: dense(f, activation_function="torch.nn.Softsign"),
        ValueError,
        "torch.nn.Softsign is not one of",
    ),
    ("foreign activation", lambda f: dense(f, activation_function="os.system"), ValueError, "os.system is not one of"),
    ("residual", lambda f: dense(f, use_residual=True), ValueError, "use_residual = True"),
    ("dense on tokens", lambda f: dense(f, module_input_name="token_embeddings"), ValueError, "module_input_name"),
    (
        "normalize on tokens",
        lambda f: edit(f / "3_Normalize/config.json", module_input_name="token_embeddings"),
        ValueError,
        "module_input_name",
    ),
    ("lower case", lambda f: transformer(f, do_lower_case=True), ValueError, "do_lower_case = True"),
    ("other task", lambda f: transformer(f, transformer_task="fill-mask"), ValueError, "fill-mask"),
    ("model arguments", lambda f: transformer(f, model_args={"rope": 2}), ValueError, "model_args"),
    ("length not a number", lambda f: transformer(f, max_seq_length="256"), ValueError, "max_seq_length = '256'"),
    ("length 0", lambda f: transformer(f, max_seq_length=0), ValueError, "max_length is 0"),
    (
        "default prompt",
        lambda f: model_config(f, prompts={"query": "query: "}, default_prompt_name="query"),
        ValueError,
        "default prompt .*'query'",
    ),
    ("cut dimension", lambda f: model_config(f, truncate_dim=16), ValueError, "truncate_dim = 16"),
    ("cross-encoder", lambda f: model_config(f, model_type="CrossEncoder"), ValueError, "CrossEncoder"),
    (
        "left truncation",
        lambda f: edit(f / "tokenizer_config.json", truncation_side="left"),
        ValueError,
        "truncation_side",
    ),
]


@pytest.mark.parametrize(("change", "kind", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(change: Callable[[Path], object], kind: type[Exception], words: str, saved: Path) -> None:
    load(saved)
    change(saved)
    with pytest.raises(kind, match=words) as error:
        load(saved)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((None,), TypeError, "a name or a folder, not NoneType"),
        ((["a", "b"],), TypeError, "a name or a folder, not list"),
        (("",), FileNotFoundError, "no folder ''"),
        (("./not/here",), FileNotFoundError, "no folder './not/here'"),
        ((Path("nothere"),), FileNotFoundError, "no folder 'nothere'"),
        ((__file__,), NotADirectoryError, "is a file"),
        (("all-MiniLM-L6-v2", "gpu"), ValueError, "device is 'gpu'"),
        (("all-MiniLM-L6-v2", 1.5), ValueError, "device is 1.5"),
        (("all-MiniLM-L6-v2", "cpu", torch.float16), ValueError, "precision is torch.float16"),
    ],
    ids=str,
)
def test_arguments_refused(arguments: tuple, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        load(*arguments)
    assert type(error.value) is kind


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(saved: Path) -> None:
    with pytest.raises(ValueError, match="torch sees no GPU"):
        load(saved, device="cuda")
    assert load(saved).device.type == "cpu"


# ---- saving --------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_saved_model_is_replaced_whole(saved: Path) -> None:
    encoder = build("mpnet", "cls")
    save(encoder, saved)
    assert np.array_equal(load(saved, device="cpu").encode(TEXTS), encoder.encode(TEXTS))
    assert not list(saved.glob("*Dense"))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "not" / "yet"):
        save(build("bert"), folder)
        assert_same(load(folder, device="cpu"), build("bert"))


def test_a_link_to_a_folder_stays_a_link(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(saved)
    save(build("bert"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert not list(saved.glob("*Dense"))


@pytest.mark.parametrize(
    "step", ["save_pretrained", "tokenizer", "save_file", "_write_json", "first rename", "second rename"]
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk", "stop"])
def test_nothing_is_lost_when_saving_fails(
    step: str, error: BaseException, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, encoder, renames = contents(saved), build("bert", "cls", ("relu",)), []

    def fail(*arguments: object, **options: object) -> None:
        raise error

    def rename(source: Path, target: Path, real: Callable = os.rename) -> None:
        renames.append(source)
        if len(renames) == (1 if step == "first rename" else 2):
            raise error
        real(source, target)

    if "rename" in step:
        monkeypatch.setattr(folders.os, "rename", rename)
    elif step == "save_pretrained":
        monkeypatch.setattr(encoder.backbone.model, "save_pretrained", fail)
    elif step == "tokenizer":
        monkeypatch.setattr(encoder.backbone.tokenizer, "save_pretrained", fail)
    else:
        monkeypatch.setattr(storage, step, fail)
    with pytest.raises(type(error)):
        save(encoder, saved)
    assert contents(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file: give a folder"):
        save(build("bert"), tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no saved model"):
        save(build("bert"), tmp_path)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_other_things_beside_a_saved_model_stay(saved: Path) -> None:
    (saved / "notes.txt").write_text("mine")
    before = contents(saved)
    with pytest.raises(FileExistsError, match="holds notes.txt, which is not part of a saved model"):
        save(build("bert"), saved)
    assert contents(saved) == before


def test_a_folder_that_cannot_be_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's answer is played, as the administrator's account, which tests may run under, writes everywhere."""

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    before, encoder = contents(saved), build("bert")
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=f"{saved} cannot be written: Read-only file system"):
        save(encoder, saved)
    assert contents(saved) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(value: float, saved: Path) -> None:
    before, encoder = contents(saved), build("bert")
    with torch.no_grad():
        encoder.backbone.model.embeddings.word_embeddings.weight[3, 3] = value
    with pytest.raises(ValueError, match="NaN or infinite .*word_embeddings"):
        save(encoder, saved)
    assert contents(saved) == before


def test_only_an_encoder_is_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes an Encoder, not BertModel"):
        save(tiny_model("bert"), tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_a_pooling_without_a_place_in_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(storage.POOLINGS_ON_DISK, "max")
    with pytest.raises(ValueError, match="pooling 'max' is not one of cls, mean, mean_sqrt_len, last"):
        save(build("bert", "max"), tmp_path / "saved")
    assert not list(tmp_path.iterdir())


# ---- silence -------------------------------------------------------------------------------------------------------


def test_loading_and_saving_are_silent_and_leave_the_settings_as_they_were(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with_other_heads(saved)  # transformers would report these
    bars: list[str] = []
    hook = transformers_logging.set_tqdm_hook(lambda bar, args, options: bars.append("bar") or bar(*args, **options))
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_info()
    try:
        encoder = load(saved, device="cpu")
        save(encoder, Path(tempfile.mkdtemp(dir=saved.parent)))
        assert capfd.readouterr() == ("", "")
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        list(transformers_logging.tqdm([1], disable=True))
        assert bars == ["bar"]
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.set_tqdm_hook(hook)
