"""Fit a recipe in two processes with the environment that `torchrun` gives them."""

import multiprocessing
import os
import signal
import socket
from typing import Any

from training import fit
from training.distributed import rank
from training.recipe import load_recipe

RANKS = 2


class Killed(fit.Journal):
    """Ends rank 1 after the first batch of the second epoch."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if rank() == 1 and trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def fit_rank(environment: dict[str, str], recipe: str, killed: bool) -> None:
    """One process."""
    os.environ |= environment
    if killed:
        fit.Journal = Killed  # type: ignore[misc]
    print(fit.fit(load_recipe(recipe)))


def fit_in_ranks(environment: dict[str, str], recipe: str, killed: bool = False) -> list[int | None]:
    """Exit codes of the ranks. If one ends with an error, the others are ended, as `torchrun` does."""
    context = multiprocessing.get_context("forkserver")  # torch is imported once
    context.set_forkserver_preload([__name__, "torch._dynamo"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    world = {"WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": str(RANKS), "GROUP_RANK": "0"}
    processes = []
    for number in range(RANKS):
        own = {"RANK": str(number), "LOCAL_RANK": str(number)}
        process = context.Process(target=fit_rank, args=({**environment, **shared, **world, **own}, recipe, killed))
        process.start()
        processes.append(process)
    try:
        for process in reversed(processes):
            process.join(100)
            if process.exitcode:
                break
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [process.exitcode for process in processes]
