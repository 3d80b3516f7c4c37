"""Features of a mixture of many classes, written to disk block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

N_FEATURES = 768
HARD_LATENT = 96
"""Latent dimensions in which the spreads below hold."""

N_MODES = 2
CENTER_SPREAD = 0.62
MODE_SPREAD = 0.35
NOISE = 0.25
SHARE_OF_STRAYS = 0.02
BLOCK_ROWS = 16_384


def write_features(
    folder: Path, n_samples: int, n_classes: int, n_latent: int, seed: int = 0
) -> None:
    """Write ``features.npy`` and ``classes.npy`` of a mixture to a folder, if they are not there.

    Classes lie in a few latent dimensions, near each other, two modes each, with a spread of their
    own along each dimension and sizes that differ by up to a factor of four; two samples in a
    hundred lie anywhere. Classes and modes are as far from each other in any number of dimensions.
    The latent dimensions are turned into 768 features, all with noise.

    Parameters
    ----------
    folder : Path
        Made when missing.
    n_samples, n_classes : int
    n_latent : int
        At most 768. The fewer, the nearer the nearest neighbors are.
    seed : int, default=0
        Rules every draw, block by block, so that a run that was ended goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "features.npy"
    if done.exists():
        return
    rng = np.random.default_rng(seed)
    wider = np.float32((HARD_LATENT / n_latent) ** 0.5)  # distances stay what they are
    centers = CENTER_SPREAD * rng.standard_normal((n_classes, 1, n_latent), dtype=np.float32)
    modes = MODE_SPREAD * rng.standard_normal((n_classes, N_MODES, n_latent), dtype=np.float32)
    places = wider * (centers + modes).reshape(-1, n_latent)
    spreads = rng.uniform(0.5, 1.5, (n_classes, n_latent)).astype(np.float32)
    axes = np.linalg.qr(rng.standard_normal((N_FEATURES, n_latent)))[0].T.astype(np.float32)
    sizes = rng.uniform(0.5, 2.0, n_classes)
    classes = rng.choice(n_classes, n_samples, p=sizes / sizes.sum()).astype(np.int32)
    np.save(folder / "classes.npy", classes)

    unfinished = folder / "unfinished.npy"
    shape = (n_samples, N_FEATURES)
    features = np.lib.format.open_memmap(unfinished, "w+", np.float32, shape)
    for block, start in enumerate(range(0, n_samples, BLOCK_ROWS)):
        rng = np.random.default_rng((seed, block))
        own = classes[start : start + BLOCK_ROWS]
        latent = spreads[own] * rng.standard_normal((len(own), n_latent), dtype=np.float32)
        latent += places[own * N_MODES + rng.integers(N_MODES, size=len(own))]
        strays = rng.random(len(own)) < SHARE_OF_STRAYS
        latent[strays] = 1.3 * rng.standard_normal((strays.sum(), n_latent), dtype=np.float32)
        noise = NOISE * rng.standard_normal((len(own), N_FEATURES), dtype=np.float32)
        features[start : start + BLOCK_ROWS] = latent @ axes + noise
    features.flush()
    del features
    unfinished.rename(done)
