"""The memory that a step of training needs, calculated and measured."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from skscan.training.memory import simclr_network, step_memory

SMALL = {"stem": "cifar", "depth": 10, "width": 16}

MEASURE = """
import numpy as np
import torch
from skscan.training.augmentations import SimCLRAugmentation
from skscan.training.contrastive import SimCLRTask
from skscan.training.loop import LoopSettings, TrainingLoop, make_optimizer
from skscan.training.memory import simclr_network
from skscan.training.pixels import PixelStore

torch.set_num_threads(1)
half = (0.5, 0.5, 0.5)

def train(batch_size, micro_batch_size):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch_size, 3, 32, 32), dtype=np.uint8)
    network = simclr_network(%(architecture)s)().to(memory_format=torch.channels_last)
    task = SimCLRTask(network, PixelStore(pixels), SimCLRAugmentation(32, half, half), 0.1)
    settings = LoopSettings(
        1, batch_size, lambda epoch: 0.1, 0, micro_batch_size=micro_batch_size
    )
    TrainingLoop(task, make_optimizer("sgd", network, 0.0), settings).run()

def peak():
    # Not getrusage: its peak begins with that of the process that started this one.
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

train(8, 4)  # libraries are loaded
before = peak()
train(%(batch_size)d, %(micro_batch_size)s)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("batch_size", "micro_batch_size"),
    [(96, None), pytest.param(384, 96, marks=pytest.mark.slow)],
)
def test_what_is_measured(batch_size, micro_batch_size):
    code = MEASURE % {
        "architecture": SMALL,
        "batch_size": batch_size,
        "micro_batch_size": micro_batch_size,
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    estimated = step_memory(simclr_network(SMALL), 32, batch_size, micro_batch_size).total
    assert estimated == pytest.approx(measured, rel=0.35)


class Two(nn.Module):
    """Two layers whose memory can be counted by hand."""

    n_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 8 * 8, 10, bias=False)
        self.second = nn.Linear(10, 4, bias=False)

    def forward(self, images):
        return self.second(torch.sigmoid(self.first(images.flatten(1))))


def test_by_hand():
    memory = step_memory(Two, 8, batch_size=6, n_views=2, optimizer="adam")
    n_weights = 192 * 10 + 10 * 4
    assert memory.weights == memory.gradients == 4 * n_weights
    assert memory.optimizer == 2 * 4 * n_weights
    assert memory.inputs == 4 * 12 * 192
    assert memory.activations == 4 * 12 * 10  # what the sigmoid gave; images are inputs
    assert memory.workspace == 4 * memory.activations
    assert memory.total == 4 * (4 * n_weights + 12 * 192 + 5 * 12 * 10)


def test_micro_batches_bound_it():
    whole, parts, larger = (
        step_memory(simclr_network(SMALL), 32, batch_size, micro)
        for batch_size, micro in ((256, None), (256, 32), (1024, 32))
    )
    assert parts.activations == larger.activations
    assert parts.activations == pytest.approx(whole.activations / 8, rel=0.01)
    assert larger.inputs == 4 * parts.inputs
    assert parts.inputs == whole.inputs


def test_frozen_weights_need_no_gradient():
    def frozen():
        network = simclr_network(SMALL)()
        network.backbone.requires_grad_(False)
        return network

    free, fixed = (step_memory(make, 32, 64) for make in (simclr_network(SMALL), frozen))
    assert fixed.weights == free.weights
    assert fixed.gradients < free.gradients
    assert fixed.activations < free.activations / 10


@pytest.mark.parametrize("architecture", ["torchvision/resnet18", "resnet10t"])
def test_other_backbones(architecture):
    small, large = (step_memory(simclr_network(architecture), 64, n) for n in (16, 32))
    assert large.activations == pytest.approx(2 * small.activations, rel=0.01)
    assert small.activations > 2**20
