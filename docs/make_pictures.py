"""Draw the pictures of the README from real output: ``python docs/make_pictures.py``."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from skscan import SCANClusterer

N_SHOWN = 24
SIDE = 32
GAP = 4


def sorted_digits(path: Path) -> None:
    """Draw a row for each cluster of digits, the most typical ones first."""
    digits = load_digits()
    images = digits.images / digits.images.max()
    clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(images)
    cell = SIDE + GAP
    sheet = Image.new("L", (N_SHOWN * cell + GAP, 10 * cell + GAP), 255)
    confidences = clusterer.probabilities_.max(axis=1)
    for cluster in range(10):
        members = np.flatnonzero(clusterer.labels_ == cluster)
        typical = members[np.argsort(-confidences[members], kind="stable")][:N_SHOWN]
        for column, i in enumerate(typical):
            tile = Image.fromarray((255 - images[i] * 255).astype(np.uint8))
            place = (GAP + column * cell, GAP + cluster * cell)
            sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    sheet.quantize(16).save(path, optimize=True)


if __name__ == "__main__":
    sorted_digits(Path(__file__).parent / "images" / "digits.png")
