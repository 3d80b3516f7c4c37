"""What two processes do for the tests of the loop: started by torchrun with a folder.

``one/`` in the folder holds what one process has begun; it is gone on with.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from loop_tasks import VARIANTS, make_loop, make_task, make_variant, stop_after, weights_of

from skscan.training import checkpoints
from skscan.training.checkpoints import Checkpoint
from skscan.training.distributed import process_index

STEPS_BEFORE_STOP = 4


def main(folder: Path) -> None:
    checkpoints.CHECKPOINT_SECONDS = 0.0
    losses, weights, n_saves = {}, {}, 0

    save = Checkpoint.save

    def counted(self: Checkpoint, state: dict) -> None:
        nonlocal n_saves
        n_saves += 1
        save(self, state)

    Checkpoint.save = counted

    def train(name: str, kind: str, checkpoint: Path | None = None, stop: bool = False) -> None:
        task, settings = make_variant(kind)
        if stop:
            stop_after(task, STEPS_BEFORE_STOP)
        place = Checkpoint(checkpoint, kind, {}) if checkpoint else None
        with suppress(InterruptedError):
            make_loop(task, place, log_dir=str(folder / "log"), **settings).run()
        losses[name] = task.losses
        weights.update({f"{name}/{key}": v for key, v in weights_of(task.network).items()})

    for kind in VARIANTS:
        train(kind, kind)
    train("begun by one", "simclr", folder / "one")
    train("begun by two", "simclr", folder / "two", stop=True)
    train("gone on with by two", "simclr", folder / "two")
    train("left by two", "pairs", folder / "two", stop=True)
    error = ""
    try:
        make_loop(make_task("simclr"), batch_size=7).run()
    except ValueError as refused:
        error = str(refused)
    result = {"losses": losses, "n_saves": n_saves, "error": error}
    np.savez(folder / f"{process_index()}.npz", **weights)
    (folder / f"{process_index()}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
