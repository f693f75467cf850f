"""A transformers folder, read so that nothing goes wrong unnoticed: config, tokenizer and weights to a `Backbone`.

transformers itself reports much of what can go wrong in a log line and goes on: weights that are missing or of another
shape start at random, an absent tokenizer becomes an empty one, a float16 file computes in float16. Here each of these
is an error of one sentence. Code never comes from a model folder: no pickles, no `auto_map`, no link out of the folder.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from sbert_lab.backbone import Backbone

# Encoder-decoders whose encoder stands alone.
ENCODER_HALVES = {"t5": transformers.T5EncoderModel, "mt5": transformers.MT5EncoderModel}
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))

# What a config may say beside the plain encoder, and the only values that keep it one.
PLAIN = {
    "auto_map": (None,),
    "quantization_config": (None,),
    "is_decoder": (False,),
    "position_embedding_type": ("absolute", "sans_pos"),  # the second: how ModernBERT's kin say "rotary only"
}


def load_backbone(folder: Path, root: Path, precision: torch.dtype = torch.float32) -> Backbone:
    """The transformers model in `folder`, on the CPU; `root` is the folder that no file may lead out of.

    Raises FileNotFoundError for missing files, ValueError for anything damaged, contradictory or not supported.
    """
    inside(root, folder)
    config = _config(folder)
    _check_weight_files(folder, root)
    with quiet():
        model = _model(folder, config)
        tokenizer = _tokenizer(folder)
    vectors = config.vocab_size  # as many as the weights have, or _model had refused
    largest = max(tokenizer.get_vocab().values())
    if largest >= vectors:
        raise ValueError(
            f"{folder}: the tokenizer has ids up to {largest}, the model only {vectors} token vectors (vocab_size)"
        )
    return Backbone(model, tokenizer, precision)


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON in `path`, which must be a `kind`; ValueError names the file and the line where it is not JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text, so it cannot be JSON") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error.msg} in line {error.lineno}") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__} where a {kind.__name__} belongs")
    return content


def inside(root: Path, path: Path) -> Path:
    """`path` itself, after checking that it, and every file in it, lies in `root`; ValueError where one leads out.

    In the Hub's cache a snapshot's files are links to the blobs of the same model: these count as inside.
    """
    homes = [root.resolve()]
    if homes[0].parent.name == "snapshots":
        homes.append(homes[0].parent.parent / "blobs")
    for entry in [path, *(path.iterdir() if path.is_dir() else [])]:
        target = entry.resolve()
        if not any(target.is_relative_to(home) for home in homes):
            raise ValueError(f"{entry} leads out of the model's folder {root}, to {target}")
    return path


def check_safetensors(path: Path) -> Path:
    """`path` itself, after its header was found whole; ValueError where the file is truncated or damaged."""
    try:
        with safe_open(path, "pt"):
            return path
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no reports from transformers inside; as before outside."""
    verbosity = logging.get_verbosity()
    hook = logging.set_tqdm_hook(lambda bar, args, options: bar(*args, **options | {"disable": True}))
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.set_tqdm_hook(hook)


def _config(folder: Path) -> Any:
    path = folder / "config.json"
    content = read_json(path)
    for key, allowed in PLAIN.items():
        if content.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{path}: {key} = {content[key]!r:.60} is not supported, only {allowed[0]!r} is")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"{path} describes no model that transformers knows: {_line(error)}") from error
    if config.is_encoder_decoder and config.model_type not in ENCODER_HALVES:
        raise ValueError(f"{path}: {config.model_type} is an encoder-decoder; only {[*ENCODER_HALVES]} are read")
    config._attn_implementation = None  # transformers chooses, not the file
    return config


def _check_weight_files(folder: Path, root: Path) -> None:
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder} holds an adapter: merge it into its model and save that")
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists() and not single.exists():
        names = {str(name) for name in read_json(index).get("weight_map", {}).values()}
        files = [inside(root, folder / name) for name in sorted(names)]
    else:
        files = [single]
    for file in files:
        if file.is_file():
            check_safetensors(file)
        elif any(folder.glob("*.bin")):
            raise ValueError(f"{folder} has its weights only as a pickle (.bin), which could run code: use safetensors")
        else:
            raise FileNotFoundError(f"{file} is missing: weights are read from safetensors only")


def _model(folder: Path, config: Any) -> PreTrainedModel:
    kind: Any = ENCODER_HALVES.get(config.model_type, AutoModel)
    try:
        model, report = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # reported, and refused below in one sentence
            output_loading_info=True,
        )
    except Exception as error:
        raise ValueError(f"the model in {folder} cannot be loaded: {_line(error)}") from error
    _check_report(folder, model, report)
    return model


def _check_report(folder: Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Refuse weights at odds with the config; a pooler (unused here) may be missing, other heads left over."""
    parts = {name for name, _ in model.named_children()} - {"pooler"}
    found = {
        "has no weights for": [key for key in report["missing_keys"] if not key.startswith("pooler")],
        "has weights of another shape than config.json says for": [key for key, *_ in report["mismatched_keys"]],
        "has weights that config.json does not provide for,": [
            key
            for key in report["unexpected_keys"]
            if key.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in parts
            and not key.endswith("position_ids")  # a constant that older versions stored
        ],
    }
    for problem, keys in found.items():
        if keys:
            raise ValueError(f"{folder} {problem} {min(keys)} ({len(keys)} such)")


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise FileNotFoundError(f"{folder} has no tokenizer: neither tokenizer.json nor vocab.txt is there")
    settings = folder / "tokenizer_config.json"
    if settings.exists() and (code := read_json(settings).get("auto_map")):
        raise ValueError(f"{settings}: auto_map = {code!r:.60} would run code from the folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        for path in sorted(folder.glob("*token*.json")):
            read_json(path)  # names the file and line, if that is the trouble
        raise ValueError(f"the tokenizer in {folder} cannot be loaded: {_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"{folder}: {type(tokenizer).__name__} has no tokenizer.json form, which is needed here")
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError(f"the tokenizer in {folder} is empty: its files do not fit {type(tokenizer).__name__}")
    if tokenizer.truncation_side != "right":
        raise ValueError(f"{settings}: truncation_side = {tokenizer.truncation_side!r} is not supported")
    return tokenizer


def _line(error: Exception) -> str:
    """The first line of an error: what transformers adds below it is advice for other situations."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
