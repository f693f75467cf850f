"""Encoders on disk: `load` and `save`, in the folder form of sentence-transformers, both ways.

`load` reads what three generations of that library have written and refuses by name whatever this encoder cannot
compute exactly; `save` writes the classic form, which all of them open. The transformers model inside is read by
`pretrained`; a name is turned into a folder by `sources`.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file

from sbert_lab.encoder import ACTIVATIONS, Dense, Encoder
from sbert_lab.folders import replaced
from sbert_lab.pretrained import check_safetensors, inside, load_backbone, quiet, read_json
from sbert_lab.sources import find

TYPE = re.compile(
    r"sentence_transformers\.(?:models|base\.modules|sentence_transformer\.modules)\.(?:\w+\.)?"
    r"(Transformer|Pooling|Dense|Normalize)"
)
POOLINGS_ON_DISK = {  # our name: the pooling_mode of new folders, the flag of classic ones
    "cls": ("cls", "pooling_mode_cls_token"),
    "max": ("max", "pooling_mode_max_tokens"),
    "mean": ("mean", "pooling_mode_mean_tokens"),
    "mean_sqrt_len": ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    "last": ("lasttoken", "pooling_mode_lasttoken"),
}
SAVED = re.compile(  # what a saved model's folder holds; anything else there is somebody's, and stays
    r"modules\.json|(generation_)?config\.json|config_sentence_transformers\.json|sentence_[\w-]+_config\.json"
    r"|model.*\.safetensors(\.index\.json)?|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json"
    r"|added_tokens\.json|vocab\.(txt|json)|merges\.txt|\d+_(Pooling|Dense|Normalize)"
)
TRANSFORMER_FILES = [
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]

# The settings of each module that may stand beside the ones read, and the only values that change no vector.
NEUTRAL_TRANSFORMER = {
    "do_lower_case": (False, None),
    "transformer_task": ("feature-extraction",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "module_output_name": ("token_embeddings",),
    "unpad_inputs": (None, True, False),
} | {
    f"{of}_{name}": ({}, None)
    for of in ("model", "tokenizer", "processor", "processing", "config")
    for name in ("args", "kwargs")
}
NEUTRAL_POOLING = {"include_prompt": (True,), "pooling_mode_weightedmean_tokens": (False,)}
NEUTRAL_VECTORS = {
    "module_input_name": ("sentence_embedding",),
    "module_output_name": ("sentence_embedding", None),
    "use_residual": (False,),
}


def load(
    name_or_folder: str | Path, device: str | torch.device | None = None, precision: torch.dtype = torch.float32
) -> Encoder:
    """The encoder in a folder, or the one carried with the course under this name, or the one on the Hub.

    A transformers folder without modules.json becomes an encoder with mean pooling; for another pooling of any model,
    set `encoder.pooling = "cls"`. `device` is a GPU where there is one and the CPU elsewhere; Apple's mps only when
    asked for, as its results are not among those tested here. `precision` is what is computed in; the weights stay
    float32. Raises FileNotFoundError where nothing is found, ValueError for what is damaged, unsafe or not computable
    here.

    >>> load("all-MiniLM-L6-v2").encode("a cat").shape
    (384,)
    """
    device = _device(device)
    encoder = _read(find(name_or_folder).resolve(), precision)
    _check_finite(encoder, str(name_or_folder))
    return encoder.to(device).eval()


def save(encoder: Encoder, folder: str | Path) -> None:
    """Write `encoder` to `folder`, which sentence-transformers opens too; a model saved there before is replaced.

    The new folder is complete before the old one goes. Raises FileExistsError where `folder` is a file or holds
    anything but a saved model, PermissionError where it cannot be written, ValueError for weights that are not finite.
    """
    if not isinstance(encoder, Encoder):
        raise TypeError(f"save takes an Encoder, not {type(encoder).__name__}")
    if type(encoder) is not Encoder:  # what it has beside an encoder's parts would be lost without a word
        raise TypeError(f"save writes an Encoder, and a {type(encoder).__name__} is more: save its state_dict()")
    _check_finite(encoder, "the encoder")
    with replaced(Path(folder).resolve(), "modules.json", SAVED) as fresh:
        _write(encoder, fresh)


def _device(device: str | torch.device | None) -> torch.device:
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, TypeError):
        raise ValueError(f"device is {device!r}: give 'cpu', 'cuda' or None") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch sees no GPU here: give 'cpu' or None")
    return chosen


def _read(root: Path, precision: torch.dtype) -> Encoder:
    modules = _modules(inside(root, root))
    backbone = load_backbone(modules[0][1], root, precision)
    limit = _max_length(modules[0][1])
    if limit is not None:  # may exceed what the tokenizer says, as in the library, but not the position table
        backbone.tokenizer.model_max_length = max(limit, backbone.tokenizer.model_max_length)
        limit = min(limit, backbone.longest)
    for kind, folder in modules:
        if kind == "Normalize" and (folder / "config.json").exists():
            _settings(folder / "config.json", (), NEUTRAL_VECTORS)
    return Encoder(
        backbone,
        _pooling(modules[1][1], backbone.dimension) if len(modules) > 1 else "mean",
        [_dense(folder) for kind, folder in modules if kind == "Dense"],
        normalize=modules[-1][0] == "Normalize",
        max_length=limit,
    )


def _modules(root: Path) -> list[tuple[str, Path]]:
    """The kind and folder of each module, in order; a plain transformers folder is one Transformer."""
    _check_model(root / "config_sentence_transformers.json")
    listing = root / "modules.json"
    if not listing.exists():
        return [("Transformer", root)]
    modules = []
    for entry in read_json(listing, list):
        kind = entry.get("type") if isinstance(entry, dict) else entry
        known = TYPE.fullmatch(str(kind))
        if known is None:
            raise ValueError(f"{listing}: the module {kind!r} is not supported")
        modules.append((known[1], inside(root, root / str(entry.get("path", "")))))
    order = " ".join(kind for kind, _ in modules)
    if not re.fullmatch("Transformer Pooling( Dense)*( Normalize)?", order):
        raise ValueError(f"{listing}: {order!r} is not Transformer, Pooling, then any Dense, then at most Normalize")
    return modules


def _check_model(path: Path) -> None:
    """Refuse what changes every vector of a model: a prompt in front of each text, a cut dimension, another kind."""
    config = read_json(path) if path.exists() else {}
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise ValueError(f"{path}: model_type = {config['model_type']!r} is not a sentence encoder")
    if config.get("truncate_dim") is not None:
        raise ValueError(f"{path}: truncate_dim = {config['truncate_dim']!r} is not supported")
    prompt = config.get("default_prompt_name")
    if prompt is not None and (config.get("prompts") or {}).get(prompt) != "":
        raise ValueError(f"{path}: a default prompt ({prompt!r}) is not supported: put it before the texts yourself")


def _settings(path: Path, read: Collection[str], neutral: Mapping[str, tuple]) -> dict[str, Any]:
    """The JSON of a module; ValueError for a setting that is neither `read` nor `neutral`."""
    config = read_json(path)
    for key, value in config.items():
        if key not in read and value not in neutral.get(key, ()):
            raise ValueError(f"{path}: {key} = {value!r:.80} is not supported")
    return config


def _max_length(folder: Path) -> int | None:
    path = next((folder / name for name in TRANSFORMER_FILES if (folder / name).exists()), None)
    if path is None:
        return None
    length = _settings(path, ("max_seq_length",), NEUTRAL_TRANSFORMER).get("max_seq_length")
    if length is not None and type(length) is not int:
        raise ValueError(f"{path}: max_seq_length = {length!r} is not a whole number")
    return length


def _pooling(folder: Path, dimension: int) -> str:
    path = folder / "config.json"
    widths = ("embedding_dimension", "word_embedding_dimension")
    known, flags = zip(*POOLINGS_ON_DISK.values(), strict=True)
    config = _settings(path, (*widths, "pooling_mode", *flags), NEUTRAL_POOLING)
    flagged = [mode for mode, flag in POOLINGS_ON_DISK.values() if config.get(flag)] or ["mean"]
    modes = config.get("pooling_mode", flagged)
    names = [name for name, (mode, _) in POOLINGS_ON_DISK.items() if modes in (mode, [mode])]
    if not names:
        raise ValueError(f"{path}: pooling {modes!r} is not one of {', '.join(known)}")
    for width in widths:
        if config.get(width, dimension) != dimension:
            raise ValueError(f"{path}: {width} = {config[width]!r}, but the model's tokens have {dimension} numbers")
    return names[0]


def _dense(folder: Path) -> Dense:
    path, weights = folder / "config.json", folder / "model.safetensors"
    read = ("in_features", "out_features", "bias", "activation_function")
    config: dict[str, Any] = {"bias": True, "activation_function": "torch.nn.Tanh"}
    config |= _settings(path, read, NEUTRAL_VECTORS)
    named = re.sub(r"^torch\.nn\.modules\.\w+", "torch.nn", str(config["activation_function"]))
    activation = {f"torch.nn.{kind.__name__}": name for name, kind in ACTIVATIONS.items()}
    if named not in activation:
        raise ValueError(f"{path}: the activation {named} is not one of {', '.join(ACTIVATIONS)}")
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing: weights are read from safetensors only, never from a pickle")
    try:
        layer = Dense(config["in_features"], config["out_features"], activation[named], config["bias"])
        layer.load_state_dict(load_file(check_safetensors(weights)))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{weights} does not fit {path}: {str(error).splitlines()[-1].strip()}") from None
    return layer


def _check_finite(encoder: Encoder, what: str) -> None:
    for name, weight in encoder.named_parameters():
        if not weight.isfinite().all():
            raise ValueError(f"{what} holds NaN or infinite numbers in the weight {name}")


def _write(encoder: Encoder, folder: Path) -> None:
    """The classic form: each module in a folder of its own, the transformers model in the root."""
    backbone = encoder.backbone
    with quiet():
        backbone.model.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
    modules: list[tuple[str, dict, dict]] = [("Pooling", _pooling_config(encoder), {})]
    modules += [("Dense", _dense_config(layer), layer.state_dict()) for layer in cast(Iterable[Dense], encoder.dense)]
    modules += [("Normalize", {}, {})] * encoder.normalize
    listing = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for idx, (kind, config, weights) in enumerate(modules, 1):
        path = f"{idx}_{kind}"
        _write_json(folder / path / "config.json", config)
        if weights:
            save_file(weights, folder / path / "model.safetensors")
        listing.append({"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{kind}"})
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": encoder.max_length, "do_lower_case": False})
    _write_json(folder / "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": None})
    _write_json(folder / "modules.json", listing)
    for file in folder.rglob("*.safetensors"):  # safetensors makes its files private to the user
        shutil.copymode(folder / "modules.json", file)


def _pooling_config(encoder: Encoder) -> dict[str, Any]:
    if encoder.pooling not in POOLINGS_ON_DISK:
        raise ValueError(f"pooling {encoder.pooling!r} is not one of {', '.join(POOLINGS_ON_DISK)}")
    flags = {flag: name == encoder.pooling for name, (_, flag) in POOLINGS_ON_DISK.items()}
    return {"word_embedding_dimension": encoder.backbone.dimension, **flags}


def _dense_config(layer: Dense) -> dict[str, Any]:
    activation = ACTIVATIONS[layer.activation]
    return {
        "in_features": layer.linear.in_features,
        "out_features": layer.linear.out_features,
        "bias": layer.linear.bias is not None,
        "activation_function": f"{activation.__module__}.{activation.__name__}",
    }


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
