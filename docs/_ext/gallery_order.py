"""The order in which the gallery shows its examples: from the first steps to the odd case."""

ORDER = (
    "first_clusters.py",
    "patches_of_photos.py",
    "save_and_use.py",
    "review_and_apply.py",
    "how_many_classes.py",
    "uneven_classes.py",
    "few_labels.py",
    "out_of_distribution.py",
    "pipeline_and_grid_search.py",
    "heads_and_objectives.py",
    "simclr_from_scratch.py",
)


class TeachingOrder:
    """Sort key of a file name; what is not named comes last, by name."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return the place of a file."""
        return (ORDER.index(filename) if filename in ORDER else len(ORDER), filename)

    def __repr__(self) -> str:  # Sphinx compares settings by it
        return type(self).__name__
