"""What a person decided in the report, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skscan.report.files import CLUSTERS, read_rows, run_id, was_updated

__all__ = ["DecidedClass", "DecidedImage", "Decisions", "parse_document"]

FORMAT = "skscan decisions"
FORMAT_VERSION = 1
UNKNOWN = "-1"
_MAX_NAME = 200


@dataclass(frozen=True)
class DecidedClass:
    """A class after the review.

    Attributes
    ----------
    id : str
    name : str
        As given by a person, or ``"Cluster 3"``.
    named : bool
        Whether a person gave the name.
    reviewed : bool
        Whether a person has looked it through.
    clusters : tuple of int
        Clusters whose images are in it, unless moved away singly.
    """

    id: str
    name: str
    named: bool
    reviewed: bool
    clusters: tuple[int, ...]


@dataclass(frozen=True)
class DecidedImage:
    """An image after the review.

    Attributes
    ----------
    path : str
        As in ``clusters.csv``.
    class_id : str
    moved : bool
        Whether a person moved it to its class.
    rejected : bool
        Whether it belongs to no class.
    """

    path: str
    class_id: str
    moved: bool
    rejected: bool


class Decisions:
    """What a person decided: names of classes, merges, splits, moves and rejections.

    Made by :meth:`load` from the file that the report exports: a JSON object with ``format``
    ("skscan decisions"), ``format_version`` (1), ``run`` (which run was decided on), ``complete``
    (whether all images are listed), ``classes`` (each with ``id``, ``name``, ``clusters`` and, if
    true, ``named`` and ``reviewed``) and ``images`` (each with ``path``, ``class``, which is an id,
    and, if true, ``moved`` and ``rejected``).

    Parameters
    ----------
    run : str
        Tells which run the decisions are on.
    classes : iterable of DecidedClass
    images : iterable of DecidedImage

    Attributes
    ----------
    run : str
    classes : dict of str to DecidedClass
        By id, in the order of the report.
    images : dict of str to DecidedImage
        By path.

    Examples
    --------
    >>> from skscan.report import Decisions
    >>> from skscan.report.decisions import DecidedClass, DecidedImage
    >>> cats = DecidedClass("0", "cats", named=True, reviewed=True, clusters=(0,))
    >>> tom = DecidedImage("tom.jpg", "0", moved=False, rejected=False)
    >>> Decisions("", [cats], [tom]).to_labels(["tom.jpg", "new.jpg"]).tolist()
    ['cats', '-1']
    """

    def __init__(
        self, run: str, classes: Iterable[DecidedClass], images: Iterable[DecidedImage]
    ) -> None:
        self.run = run
        self.classes = {known.id: known for known in classes}
        self.images = {image.path: image for image in images}

    @classmethod
    def load(cls, path: str | os.PathLike, results: str | os.PathLike | None = None) -> Self:
        """Read the file that the report exports.

        Parameters
        ----------
        path : str or path-like
            ``decisions.json``.
        results : str or path-like or None, default=None
            The results folder of the run. It is needed where the file does not list all images (the
            report showed a sample, or ``skscan serve`` wrote it): the others follow their clusters.

        Returns
        -------
        Decisions

        Raises
        ------
        ValueError
            If the file holds no decisions or contradicts itself, if they were made on another run
            than `results`, or if `results` is needed.
        FileNotFoundError
            If there is no such file.
        """
        name = os.fspath(path)
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"path={name!r} is no JSON file: {error}") from None
        try:
            run, classes, images = parse_document(document)
            if results is not None:
                folder = Path(results)
                if not (folder / CLUSTERS).is_file():
                    raise ValueError(f"results={str(folder)!r} holds no {CLUSTERS}")
                if run != run_id(folder):
                    raise ValueError(
                        f"it was decided on another run than that in results={str(folder)!r}"
                    )
                images = _all_images(folder, classes, images)
            elif document.get("complete") is not True:
                raise ValueError("it does not list all images; give the results folder, too")
        except ValueError as error:
            raise ValueError(f"path={name!r} cannot be used: {error}") from None
        return cls(run, classes, images.values())

    def to_labels(
        self, paths: Iterable[str | os.PathLike], *, reviewed_only: bool = False
    ) -> NDArray[np.str_]:
        """Return the class of each image, as `SCANClassifier.fit` takes it for y.

        Parameters
        ----------
        paths : iterable of path-like
            As they were given to the run; other ways to write the same path are recognized.
        reviewed_only : bool, default=False
            True leaves only labels that a person has looked at: those of moved images and of
            classes marked as looked through. The other images are then unknown.

        Returns
        -------
        labels : ndarray of str of shape (n_paths,)
            Names of classes; ``"-1"``, unknown, for rejected images and for those not reviewed.

        Raises
        ------
        ValueError
            If none of the paths is known.
        """
        texts = [os.fsdecode(path) for path in paths]
        found = [self.images.get(text) for text in texts]
        if None in found:
            absolute = {os.path.abspath(path): image for path, image in self.images.items()}
            found = [
                image or absolute.get(os.path.abspath(text))
                for text, image in zip(texts, found, strict=True)
            ]
        if texts and not any(found):
            raise ValueError(
                f"none of the {len(texts)} paths is among the {len(self.images)} images that were "
                f"decided on; got {texts[0]!r}, and there is {next(iter(self.images), '')!r}"
            )
        return np.array([self._label(image, reviewed_only) for image in found], dtype=np.str_)

    def _label(self, image: DecidedImage | None, reviewed_only: bool) -> str:
        if image is None or image.rejected:
            return UNKNOWN
        own = self.classes[image.class_id]
        if reviewed_only and not (image.moved or own.reviewed):
            return UNKNOWN
        return own.name


def parse_document(document: Any) -> tuple[str, list[DecidedClass], dict[str, DecidedImage]]:
    """Take apart what the report exports, and check that it is sound.

    Parameters
    ----------
    document : object
        As read from JSON.

    Returns
    -------
    run : str
    classes : list of DecidedClass
    images : dict of str to DecidedImage
        Those that are listed, by path.

    Raises
    ------
    ValueError
        If it holds no decisions, or contradicts itself.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("it holds no decisions of the report")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"its format version is {version!r}; this skscan reads {FORMAT_VERSION}")
    classes = [_parse_class(item) for item in _list(document, "classes")]
    _refuse_same(classes)
    ids = {known.id for known in classes}
    images = {}
    for item in _list(document, "images"):
        image = DecidedImage(
            path=_field(item, "path", str),
            class_id=_field(item, "class", str),
            moved=bool(item.get("moved", False)),
            rejected=bool(item.get("rejected", False)),
        )
        if image.class_id not in ids:
            raise ValueError(f"{image.path!r} is in class {image.class_id!r}, which is not there")
        images[image.path] = image
    return _field(document, "run", str), classes, images


def _parse_class(item: Any) -> DecidedClass:
    name = _field(item, "name", str).strip()
    where = f"of class {item.get('id')!r}"
    if not name:
        raise ValueError(f"the name {where} is blank")
    if len(name) > _MAX_NAME:
        raise ValueError(f"the name {where} has {len(name)} letters; {_MAX_NAME} are taken")
    if name == UNKNOWN:
        raise ValueError(f"{name!r} cannot be the name of a class: it stands for none")
    clusters = _list(item, "clusters")
    if not all(type(cluster) is int for cluster in clusters):
        raise ValueError(f"the clusters of class {name!r} are no whole numbers")
    return DecidedClass(
        id=_field(item, "id", str),
        name=name,
        named=bool(item.get("named", False)),
        reviewed=bool(item.get("reviewed", False)),
        clusters=tuple(clusters),
    )


def _refuse_same(classes: list[DecidedClass]) -> None:
    for what in ("id", "name"):
        seen = set()
        for value in (getattr(known, what) for known in classes):
            if value in seen:
                raise ValueError(f"two classes have the {what} {value!r}; merge or rename one")
            seen.add(value)
    homes = [cluster for known in classes for cluster in known.clusters]
    if len(set(homes)) < len(homes):
        raise ValueError("a cluster is in two classes")


def _field(item: Any, name: str, kind: type) -> Any:
    value = item.get(name) if isinstance(item, Mapping) else None
    if not isinstance(value, kind):
        raise ValueError(f"it is damaged: {name!r} is {value!r}, a {kind.__name__} is needed")
    return value


def _list(item: Any, name: str) -> list[Any]:
    found: list[Any] = _field(item, name, list)
    return found


def _all_images(
    folder: Path, classes: list[DecidedClass], listed: dict[str, DecidedImage]
) -> dict[str, DecidedImage]:
    """Return all images of a run: those that nobody moved are where their cluster is."""
    home = {cluster: own.id for own in classes for cluster in own.clusters}
    rows = read_rows(folder / CLUSTERS, ["path", "cluster"])
    paths = {row["path"] for row in rows}
    stranger = next((path for path in listed if path not in paths), None)
    if stranger is not None and not was_updated(folder):  # else it has left the run since
        raise ValueError(f"{stranger!r} is no image of that run")
    images = {path: image for path, image in listed.items() if path in paths}
    for row in rows:
        if row["path"] not in images:
            if int(row["cluster"]) not in home:
                raise ValueError(f"cluster {row['cluster']} is in no class")
            own = home[int(row["cluster"])]
            images[row["path"]] = DecidedImage(row["path"], own, moved=False, rejected=False)
    return images
