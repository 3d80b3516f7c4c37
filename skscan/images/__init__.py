"""Images in any form: finding, decoding and loading them."""

from skscan.images.collection import ImageCollection, SkippedImage
from skscan.images.listing import list_images
from skscan.images.names import printable
from skscan.images.recognition import as_collection, is_feature_matrix

__all__ = [
    "ImageCollection",
    "SkippedImage",
    "as_collection",
    "is_feature_matrix",
    "list_images",
    "printable",
]
