"""A whole chain of trainings that is killed and started again: run with a folder and a number.

The process that starts it has everything imported and forks; its children are killed by SIGKILL.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from image_factory import pixel_arrays

from skscan import ClusterTrainer, SCANClusterer, SelfLabelTrainer, SimCLRFeatureExtractor
from skscan.training import checkpoints
from skscan.training.checkpoints import Checkpoint
from skscan.training.network_settings import NetworkTraining

IMAGES = pixel_arrays(40, 12, 12)
EARLY = b"e"
"""Written after a save early in an epoch."""


def fit(folder: Path | None) -> SCANClusterer:
    """The command that is given again and again."""
    training = NetworkTraining(checkpoint_dir=folder, augmentation="simclr")
    extractor = SimCLRFeatureExtractor(
        {"stem": "cifar", "depth": 10, "width": 4},
        image_size=12,
        n_epochs=4,
        batch_size=8,
        learning_rate=0.05,
        output="backbone",
        checkpoint_dir=folder,
        device="cpu",
        random_state=0,
    )
    trainer = ClusterTrainer(
        scope="network",
        n_heads=2,
        starts=("random",),
        n_epochs=4,
        batch_size=8,
        learning_rate=1e-3,
        network=training,
    )
    labeler = SelfLabelTrainer(
        scope="network",
        n_epochs=4,
        batch_size=8,
        threshold=0.3,
        learning_rate=1e-3,
        averaging="mean-teacher",
        network=training,
    )
    return SCANClusterer(
        3,
        feature_extractor=extractor,
        cluster_trainer=trainer,
        self_label_trainer=labeler,
        device="cpu",
        n_jobs=1,
        random_state=0,
    ).fit(IMAGES)


def run(folder: Path | None, out: Path) -> None:
    """Fit, and write all that has to be the same."""
    clusterer = fit(folder)
    extractor = clusterer.feature_extractor_
    numbers = {
        "labels": clusterer.labels_,
        "probabilities": clusterer.probabilities_,
        "features": extractor.transform(IMAGES),
        **extractor.network_.arrays,
    }
    np.savez(out.with_suffix(".npz"), **numbers)
    out.with_suffix(".json").write_text(json.dumps(clusterer.history_, default=float))


def start(folder: Path | None, out: Path, log: Path) -> tuple[int, int]:
    """Fork a child that fits; return its id, and where it writes a byte after each save."""
    reads, writes = os.pipe()
    child = os.fork()
    if child:
        os.close(writes)
        return child, reads
    os.close(reads)
    save, load = Checkpoint.save, Checkpoint.load

    def told_save(self: Checkpoint, state: dict) -> None:
        save(self, state)
        os.write(writes, EARLY if state["position"]["step"] in (1, 2) else b".")

    def told_load(self: Checkpoint) -> dict | None:
        state = load(self)
        position = None if state is None else state["position"]
        with log.open("a") as file:
            place = None if position is None else [position["epoch"], position["step"]]
            file.write(json.dumps([self.path.stem, place]) + "\n")
        return state

    Checkpoint.save, Checkpoint.load = told_save, told_load
    checkpoints.CHECKPOINT_SECONDS = 0.0
    code = 1
    try:
        run(folder, out)
        code = 0
    finally:
        os._exit(code)


def main(folder: Path, n_kills: int) -> None:
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    child, _ = start(None, folder / "whole", folder / "whole.log")
    assert os.waitpid(child, 0)[1] == 0
    random.seed()  # by the clock: any moment will do
    kept = folder / "checkpoints"
    n_killed = 0
    while True:
        child, saves = start(kept, folder / "killed", folder / "killed.log")
        if n_killed < n_kills:
            if n_killed == 0:  # one is surely within an epoch
                while os.read(saves, 1) not in (EARLY, b""):
                    pass
            else:
                # After some steps of the 60 of all stages, and at any moment of the next ones.
                for _ in range(random.randint(0, 2 * 60 // n_kills)):
                    if not os.read(saves, 1):
                        break
                time.sleep(random.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(saves)
        if os.WIFSIGNALED(status):
            n_killed += 1
            continue
        assert status == 0
        if n_killed == n_kills:
            break
        shutil.rmtree(kept)  # it ended before all kills were made: the others come in a new run
    child, _ = start(kept, folder / "again", folder / "again.log")
    assert os.waitpid(child, 0)[1] == 0
    (folder / "kills.json").write_text(json.dumps(n_killed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
