"""A trained network as plain data: how it is built, what it is given, and its weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from skscan.networks.architecture import Architecture

__all__ = ["BACKBONE", "PROJECTION_HEAD", "TrainedNetwork"]

#: What the names of the weights begin with.
BACKBONE = "backbone."
PROJECTION_HEAD = "projection_head."


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained backbone, and the projection head it was trained with, if there was one.

    It holds numpy arrays only, so that it can be pickled, hashed and saved without torch.

    Parameters
    ----------
    architecture : dict or str
        See `skscan.networks.architecture.build_backbone`.
    image_size : int
        Side in pixels of the squares that the network was trained on.
    mean, std : tuple of 3 floats
        Normalisation that it was trained with, for pixels in 0..1.
    arrays : dict from str to ndarray
        The weights: ``backbone.<name in the state dict>`` and, where there is a projection head,
        ``projection_head.{0,2}.{weight,bias}``.
    resize : int or None, default=None
        Length to which the shorter side of an image is brought before the centre of side
        `image_size` is cut out; None cuts out nothing, it is brought to `image_size` itself.

    Examples
    --------
    >>> import torch
    >>> from skscan.networks.small_resnet import SmallResNet
    >>> from skscan.networks.trained import TrainedNetwork
    >>> parameters = {"stem": "cifar", "depth": 10, "width": 4}
    >>> network = TrainedNetwork.from_modules(
    ...     parameters, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), SmallResNet(**parameters)
    ... )
    >>> network.backbone("cpu")(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 32])
    """

    architecture: Architecture
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arrays: dict[str, NDArray]
    resize: int | None = None

    @classmethod
    def from_modules(
        cls,
        architecture: Architecture,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        backbone: nn.Module,
        projection_head: nn.Module | None = None,
        resize: int | None = None,
    ) -> Self:
        """Take copies of the weights of modules.

        Parameters
        ----------
        architecture, image_size, mean, std
            See the class.
        backbone : torch.nn.Module
            Built from `architecture`; on any device.
        projection_head : torch.nn.Module or None, default=None
            Of the form of `skscan.networks.architecture.projection_head`.
        resize
            See the class.

        Returns
        -------
        network : TrainedNetwork
        """
        parts = {BACKBONE: backbone, PROJECTION_HEAD: projection_head}
        arrays = {
            prefix + name: _to_array(tensor)
            for prefix, part in parts.items()
            if part is not None
            for name, tensor in part.state_dict().items()
        }
        return cls(architecture, image_size, mean, std, arrays, resize)

    def fingerprint(self) -> str:
        """Hash all that the network's features depend on; the weights are read once.

        Returns
        -------
        fingerprint : str
            Of 64 characters.
        """
        if self not in _fingerprints:
            _fingerprints[self] = _fingerprint(self)
        return _fingerprints[self]

    @property
    def has_projection_head(self) -> bool:
        """Whether there is a projection head."""
        return any(name.startswith(PROJECTION_HEAD) for name in self.arrays)

    def n_features(self, output: str = "backbone") -> int:
        """Tell how many features there are.

        Parameters
        ----------
        output : str, default="backbone"
            ``"projection"`` are those of the projection head, any other the backbone's.

        Returns
        -------
        n_features : int
        """
        if output == "projection":
            return len(self.arrays[PROJECTION_HEAD + "2.weight"])
        if self.has_projection_head:
            return self.arrays[PROJECTION_HEAD + "0.weight"].shape[1]
        n_features: Any = self._untrained().n_features
        return n_features

    def backbone(self, device: str) -> nn.Module:
        """Build the backbone with the trained weights.

        Parameters
        ----------
        device : str
            A torch device.

        Returns
        -------
        backbone : torch.nn.Module
            A new one with each call, in evaluation mode, with the attribute `n_features`.

        Raises
        ------
        ModelFileError
            If weights are missing or left over, or have other shapes than the architecture's.
        ValueError
            If the architecture is not known.
        """
        from skscan.networks.state_dicts import load_strictly

        network = self._untrained()
        load_strictly(network, self._weights(BACKBONE), ())
        return network.eval().to(device)

    def projection_head(self, device: str) -> nn.Module | None:
        """Build the projection head with the trained weights.

        Parameters
        ----------
        device : str
            A torch device.

        Returns
        -------
        head : torch.nn.Module or None
            From features to projections (not normalised), a new one with each call, in evaluation
            mode; None if there is none.

        Raises
        ------
        ModelFileError
            If weights are missing or left over, or their shapes do not fit together.
        """
        import torch

        from skscan.networks.architecture import projection_head
        from skscan.networks.state_dicts import load_strictly

        if not self.has_projection_head:
            return None
        weights = self._weights(PROJECTION_HEAD)
        n_out, n_features = (weights[name].shape[0] if name in weights else 1 for name in _LAYERS)
        with torch.random.fork_rng(devices=[]):
            head = projection_head(n_features, n_out)
        load_strictly(head, weights, ())
        return head.eval().to(device)

    def _untrained(self) -> nn.Module:
        import torch

        from skscan.networks.architecture import build_backbone

        # The random weights it starts from are replaced, so nobody's stream of draws moves.
        with torch.random.fork_rng(devices=[]):
            return build_backbone(self.architecture)

    def _weights(self, prefix: str) -> dict[str, Tensor]:
        import torch

        return {
            name.removeprefix(prefix): torch.tensor(array)
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


_fingerprints: WeakKeyDictionary[TrainedNetwork, str] = WeakKeyDictionary()


def _fingerprint(network: TrainedNetwork) -> str:
    form = (network.architecture, network.image_size, network.mean, network.std, network.resize)
    digest = hashlib.sha256(repr(form).encode())
    for name, array in sorted(network.arrays.items()):
        digest.update(repr((name, str(array.dtype), array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


# The last layer and the hidden one, whose numbers of rows tell the sizes of a projection head.
_LAYERS = ("2.weight", "0.weight")


def _to_array(tensor: Tensor) -> NDArray:
    import torch

    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:  # numpy has none
        tensor = tensor.float()
    return np.array(tensor.numpy())
