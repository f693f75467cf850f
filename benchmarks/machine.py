"""The machine, and its limit: how fast it does the model's matrix products and nothing else.

The share of that limit says how much there is left to win, on any machine; seconds say it only of one. The products are
those of the model's own layers, in float32, for one batch of tokens. Attention's small products (1 to 4 % at sentence
lengths), norms, activations and tokenizing are left out of the limit.
"""

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from sbert_lab.encoder import TOKENS_AT_ONCE, Encoder


def facts() -> dict[str, str]:
    """Processor, cores, vector instructions, load, versions."""
    path = Path("/proc/cpuinfo")  # Linux; elsewhere the platform's own word has to do
    lines = [line.partition(":") for line in path.read_text().splitlines()] if path.is_file() else []
    name = {key.strip(): value.strip() for key, _, value in lines}.get("model name", platform.processor())
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    packages = ("torch", "transformers", "tokenizers", "sentence-transformers", "numpy")
    return {
        "processor": f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}{load}",
        "versions": f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
    }


def products(encoder: Encoder, tokens: int = TOKENS_AT_ONCE) -> Callable[[], int]:
    """The model's matrix products for `tokens` tokens, into buffers that are there already."""
    layers = [(name, m) for name, m in encoder.backbone.model.named_modules() if isinstance(m, nn.Linear)]
    weights = [layer.weight.detach().T for name, layer in layers if "pooler" not in name]  # (in, out) each
    inputs = {width: torch.randn(tokens, width) for width in {len(weight) for weight in weights}}
    outputs = {width: torch.empty(tokens, width) for width in {weight.shape[1] for weight in weights}}

    def multiply() -> int:
        for weight in weights:
            torch.mm(inputs[len(weight)], weight, out=outputs[weight.shape[1]])
        return tokens

    return multiply
