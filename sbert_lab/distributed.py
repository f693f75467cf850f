"""Data parallelism with `torchrun` and no wrapper: every word the processes exchange is in this file.

Each process encodes its own rows of the global batch; `gather` shows an in-batch loss the vectors of all processes,
`average_gradients` after `backward` leaves every process with the same gradient. In one process each function is the
identity, so training code always calls them. Batches are drawn and cut in `loop.py`; there is no sharding of
weights here.

Why the result is the one-process gradient. Let W processes hold equally many rows and let process r compute L_r, the
mean over its own rows. The loss of the whole batch is then L = (1/W) Σ_r L_r. A vector x of process k may enter every
L_r, because all saw it through `gather`; hence `gather` SUMS in its backward, dx = Σ_r ∂L_r/∂x, and process k obtains
g_k = Σ_r ∂L_r/∂θ through its own rows. Averaging gives (1/W) Σ_k g_k = (1/W) Σ_r dL_r/dθ = dL/dθ. With a mean in either
place of the sum the gradient would be W times too small, without any error.
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUFFER = 2**26  # numbers sent at once: enough to fill the wires, little beside a model's own memory


def start() -> None:
    """Join the processes `torchrun` started: gloo for CPU tensors, nccl for CUDA. Else, or once joined, do nothing.

    `train` calls it; call it before `load` where each process should take its own GPU.
    """
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys() or dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if cuda and local_rank < torch.cuda.device_count():
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")


def stop() -> None:
    """Leave the group; outside torchrun do nothing."""
    if _together():
        dist.destroy_process_group()


def wait() -> None:
    """Go on when every process has come this far."""
    if _together():
        dist.barrier()


def rank() -> int:
    """This process's number, 0 in one process."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """How many processes work together, 1 in one process."""
    return dist.get_world_size() if _together() else 1


def gather(x: Tensor) -> Tensor:
    """Every process's rows in the order of rank, (B, ...) -> (W * B, ...); differentiable, its backward sums.

    All processes must call it together, with equally many rows: else ValueError in each of them.
    """
    if world_size() == 1:
        return x
    # Sizes travel as a CPU tensor: no wait for the GPU. Unequal rows would hang, or weigh rows differently.
    sizes = _from_all(torch.tensor([len(x)]))
    if sizes.unique().numel() > 1:
        raise ValueError(f"the processes hold {sizes.tolist()} rows: cut each global batch into equal parts")
    return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _from_all(x)  # (W * B, ...)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)  # (W * B, ...)
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]  # (B, ...)


@torch.no_grad()
def share(weights: Iterable[Tensor]) -> None:
    """Give every process the weights of process 0, in place: heads drawn at random must begin alike."""
    if world_size() > 1:
        for weight in weights:
            dist.broadcast(weight, src=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each `.grad` by its mean over the processes; all call it together, with the same parameters.

    A parameter without gradient here but with one elsewhere counts as zero here; one without any anywhere keeps None.
    """
    if world_size() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    # First agree, on the CPU, on which gradients exist, else the buffers of two processes would not match.
    present = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32)
    dist.all_reduce(present, op=dist.ReduceOp.MAX)
    for p, somewhere in zip(trained, present.tolist(), strict=True):
        if somewhere and p.grad is None:
            p.grad = torch.zeros_like(p)
    for bucket in _buckets([p.grad for p in trained if p.grad is not None]):
        flat = torch.cat([g.flatten() for g in bucket]) / world_size()
        dist.all_reduce(flat)
        for g, mean in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            g.copy_(mean.view_as(g))


def _buckets(gradients: list[Tensor]) -> list[list[Tensor]]:
    """Gradients in order, as many together as hold at most BUFFER numbers; a larger one goes alone."""
    buckets: list[list[Tensor]] = []
    room = -1  # no bucket yet
    for g in gradients:
        if g.numel() > room:
            buckets.append([])
            room = BUFFER
        buckets[-1].append(g)
        room -= g.numel()
    return buckets


def _from_all(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)  # (W * B, ...)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
