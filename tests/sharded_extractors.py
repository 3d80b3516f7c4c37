"""An extractor whose worker process is killed, in a module that workers can import."""

import os
import signal
from pathlib import Path

from skscan import PixelFeatureExtractor


class KillsItsWorkerOnce(PixelFeatureExtractor):
    """Kills the process that it is used in, unless that is `own_process` or a file exists.

    The file is written before; where that is not possible, every worker is killed.
    """

    def __init__(
        self,
        file,
        own_process,
        image_size=16,
        *,
        channels="grey",
        batch_size=256,
        errors="skip",
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            image_size,
            channels=channels,
            batch_size=batch_size,
            errors=errors,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.file = file
        self.own_process = own_process

    _parameter_constraints = {
        **PixelFeatureExtractor._parameter_constraints,
        "file": [str],
        "own_process": [int],
    }

    def _compute(self):
        if os.getpid() != self.own_process and not Path(self.file).exists():
            if Path(self.file).parent.exists():
                Path(self.file).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._compute()
