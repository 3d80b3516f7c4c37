"""A folder of photos, from Python: what ``skscan cluster`` and ``skscan predict`` do.

Usage: python sort_a_folder.py [FOLDER [N_CLUSTERS]]. Without a folder, one is made from
scikit-learn's digits.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import skscan
from skscan import SCANClusterer
from skscan.images import list_images


def main() -> None:
    """Sort the folder of the command line, or one made from digits."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else write_digits(Path(scratch, "digits"))
        n_clusters = int(sys.argv[2]) if len(sys.argv) > 2 else 10
        sort(folder, n_clusters, model=Path(scratch, "model"))


def sort(folder: Path, n_clusters: int, model: Path) -> None:
    """Fit on most of the images, save the model, and sort the others with it."""
    # Paths can be indexed, so scikit-learn's tools take them; a folder or zip can be given to
    # fit as well.
    known, new = train_test_split(list_images(folder), test_size=0.2, random_state=0)

    clusterer = SCANClusterer(n_clusters, random_state=0).fit(known)
    print("seconds:", {stage: round(time, 1) for stage, time in clusterer.timings_.items()})
    for skipped in clusterer.skipped_:  # unreadable files: their label is -1
        print(f"skipped {skipped.name}: {skipped.reason}")
    for cluster, prototype in enumerate(clusterer.prototype_indices_):
        size = (clusterer.labels_ == cluster).sum()
        example = Path(known[prototype]).name if prototype >= 0 else "none"
        print(f"cluster {cluster}: {size} images, most typical: {example}")

    # The model is a folder of safetensors and JSON; loaded again, it sorts new images.
    skscan.save(clusterer, model)
    labels = skscan.load(model).predict(new)
    print(f"{len(new)} new images, the first ones:")
    for path, label in list(zip(new, labels, strict=True))[:5]:
        print(f"  {Path(path).relative_to(folder)} -> cluster {label}")


def write_digits(folder: Path) -> Path:
    """Write 1,000 digits as PNG files."""
    folder.mkdir()
    for number, image in enumerate(load_digits().images[:1000]):
        Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number:04d}.png")
    return folder


if __name__ == "__main__":
    main()
