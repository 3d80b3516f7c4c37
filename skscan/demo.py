"""``make demo``: the digits of scikit-learn, written to a folder and sorted by the command line.

Run it with ``python -m skscan.demo``. The images go the whole way that a user's own would go; that
the true class of each is known shows how good the clusters are.
"""

import argparse
import sys
from pathlib import Path

FOLDER = Path("demo_output", "digits")


def write_digits(folder: Path) -> None:
    """Write the 1,797 digits of scikit-learn as PNG files, each class into its own sub-folder.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / digits.images.max())).astype(np.uint8)
    for digit in np.unique(digits.target):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    for number, (image, digit) in enumerate(zip(pixels, digits.target, strict=True)):
        Image.fromarray(image).save(folder / str(digit) / f"{number:04d}.png")


def kmeans_accuracy(results: Path, images: Path, n_clusters: int) -> float:
    """Return the accuracy of k-means with 10 starts on the features of a saved clusterer.

    Parameters
    ----------
    results : Path
        What ``skscan cluster`` has written.
    images : Path
        The folder that was clustered; its sub-folders are the classes.
    n_clusters : int
        Number of clusters.

    Returns
    -------
    float
        Clustering accuracy, between 0 and 1.
    """
    from sklearn.cluster import KMeans

    from skscan.images import list_images
    from skscan.metrics import clustering_accuracy
    from skscan.persistence import load

    paths = list_images(images)
    features = load(results / "model").transform(paths)
    clusters = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(features)
    return clustering_accuracy([Path(path).parent.name for path in paths], clusters)


def main() -> None:
    """Write the digits, sort them with ``skscan cluster``, and compare with k-means."""
    parser = argparse.ArgumentParser(prog="python -m skscan.demo", description=__doc__)
    parser.add_argument("-k", metavar="K", type=int, default=10, help="how many clusters (10)")
    parser.add_argument("-o", metavar="OUT", type=Path, default=Path("demo_output", "clusters"))
    arguments = parser.parse_args()

    try:
        _run(arguments.k, arguments.o)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(n_clusters: int, results: Path) -> None:
    from skscan.cli import main as skscan_command

    print(f"Writing the digits of scikit-learn as images to {FOLDER}/", flush=True)
    write_digits(FOLDER)
    command = ["cluster", str(FOLDER), "-k", str(n_clusters), "-o", str(results), "--evaluate"]
    print(f"$ skscan {' '.join(command)}\n", flush=True)
    try:
        skscan_command(command)
    except SystemExit as end:
        if end.code:
            raise
    try:
        accuracy = kmeans_accuracy(results, FOLDER, n_clusters)
    except KeyboardInterrupt:
        sys.exit("interrupted: the results are complete")
    print(f"\nfor comparison, k-means with 10 starts on the same features: {accuracy:.4f}")


if __name__ == "__main__":
    main()
