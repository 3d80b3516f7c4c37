"""When the script began: imported before what takes seconds to import."""

import time

__all__ = ["BEGAN"]

BEGAN = time.monotonic()
