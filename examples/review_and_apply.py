"""
Name and repair classes, and use them
=====================================

``skscan cluster`` writes a page, ``report.html``, to look at the classes, to
name, merge and split them, and to move single images. What is decided there
leaves it as one file, which sorts the images into folders or teaches a
classifier.
"""

# %%
# A folder of images, here scikit-learn's digits, and the command:

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from skscan.demo import write_digits

scratch = tempfile.TemporaryDirectory()
photos = Path(scratch.name, "photos")
write_digits(photos)


def skscan(*arguments):
    command = [sys.executable, "-m", "skscan", *arguments]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=scratch.name
    )
    return run.stdout


_ = skscan("cluster", "photos", "-k", "10", "-o", "sorted", "--quiet")

# %%
# ``sorted/report.html`` now opens in any browser, without a network.
# ``skscan serve sorted`` shows the same page live, for sets too large for one
# file. Press *Export* in it, and ``decisions.json`` is saved. Here it is
# written as the page would: one class is named, two are put together, and one
# image is rejected.

import csv

from skscan.report.files import run_id

results = Path(scratch.name, "sorted")
with (results / "clusters.csv").open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
merged = {c: max(c, 1) for c in range(10)}  # cluster 0 goes into cluster 1
names = {c: f"Cluster {c}" for c in range(1, 10)} | {
    1: "two in one",
    2: "my favorites",
}
decisions = {
    "format": "skscan decisions",
    "format_version": 1,
    "run": run_id(results),
    "complete": True,
    "classes": [
        {
            "id": str(c),
            "name": name,
            "named": c in (1, 2),
            "reviewed": c in (1, 2),
            "clusters": [0, 1] if c == 1 else [c],
        }
        for c, name in names.items()
    ],
    "images": [
        {
            "path": row["path"],
            "class": str(merged[int(row["cluster"])]),
            "rejected": number == 0,
        }
        for number, row in enumerate(rows)
    ],
}
file = Path(scratch.name, "decisions.json")
_ = file.write_text(json.dumps(decisions))

# %%
# Into folders
# ------------
# First what would be done, then the deed. Nothing is overwritten; ``--undo``
# takes it back.

apply = ["apply", "sorted", "decisions.json", "--to", "folders", "--mode", "copy"]
print(skscan(*apply, "--dry-run"))
_ = skscan(*apply)
for folder in sorted(Path(scratch.name, "folders").iterdir()):
    if folder.is_dir():
        print(f"{folder.name:14} {len(list(folder.iterdir())):4} images")

# %%
# Into a classifier
# -----------------
# The same decisions are labels: -1, unknown, where nobody has looked.

from skscan.report import Decisions

paths = [row["path"] for row in rows]
y = Decisions.load(file).to_labels(paths, reviewed_only=True)
print({str(name): int((y == name).sum()) for name in sorted(set(y))})
scratch.cleanup()
