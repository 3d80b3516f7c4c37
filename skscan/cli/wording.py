"""What the library says of its parameters, said of the options of a command."""

import re
from collections.abc import Collection

__all__ = ["in_options"]

_OPTIONS = {
    "device": "--device",
    "effort": "--effort",
    "engine": "--engine",
    "errors": "--errors",
    "image_size": "--image-size",
    "memory": "--memory",
    "model_name": "--backbone",
    "n_clusters": "-k",
    "n_jobs": "--jobs",
    "n_views": "--views",
    "precision": "--precision",
    "random_state": "--seed",
    "weights": "--weights",
}
_PARAMETER = re.compile(
    rf"(?<![^\s(])({'|'.join(_OPTIONS)})=(?:'([^']*)'|\"([^\"]*)\"|(\w+(?:[.:-]\w+)*))"
)

# Where a command has no option for the folder, a variable names it.
_MEMORY = r"""memory=(?:'([^']*)'|"([^"]*)")"""
_PHRASES_OF_CACHE = [
    (rf"{_MEMORY} cannot be used \((.*)\); memory takes .*\.", r"the cache folder \1\2 cannot be "
     r"used (\3); name one that can be written to by SKSCAN_CACHE"),
    (_MEMORY, r"the cache folder \1\2"),
    ("choose another (place|memory)", "name another folder by SKSCAN_CACHE"),
    ("See that the file can be read and written to, or remove it", r"\g<0>, or name another folder "
     "by SKSCAN_CACHE"),
]  # fmt: skip
_PHRASES = [
    (r"of n_clusters=(\d+) clusters", r"of the \1 clusters"),
    (r"above threshold=([\d.]+)", r"above \1"),
    (r"got X with n_samples=(\d+)", r"of which \1 could be read"),
    (r"n_neighbors=(\d+) is more than the (\d+) other samples; (\d+) are used\. Lower .* samples\.",
     r"\1 neighbors of each image are wanted, but there are \2 other images; \3 are used."),
]  # fmt: skip

# Advice that no option carries out; what stands before it is worth knowing all the same.
_ADVICE = [
    r" Leave the stage out with self_label_trainer='skip', or change its parameters\.",
    r"; a smaller threshold would let it begin",
    r"; with few images scope='heads' is the surer choice",
]
# Advice on an option that not every command has.
_ADVICE_ON = {', or stop at the first with errors="raise"': "--errors"}


def in_options(message: str, options: Collection[str]) -> str:
    """Return a message of the library in the words of the command line.

    Parameters
    ----------
    message : str
        It may name parameters: ``errors="raise"``.
    options : collection of str
        Those that the command has: ``--errors``. Parameters without one are left as they are.

    Returns
    -------
    message : str

    Examples
    --------
    >>> from skscan.cli.wording import in_options
    >>> in_options("engine='onnx' cannot run it; try engine='torch'.", ["--engine"])
    '--engine onnx cannot run it; try --engine torch.'
    """
    for advice in _ADVICE:
        message = re.sub(advice, "", message)
    for words, option in _ADVICE_ON.items():
        if option not in options:
            message = message.replace(words, "")
    for pattern, replacement in _PHRASES_OF_CACHE if "--memory" not in options else []:
        message = re.sub(pattern, replacement, message)
    for pattern, replacement in _PHRASES:
        message = re.sub(pattern, replacement, message)

    def named(match: re.Match[str]) -> str:
        option = _OPTIONS[match[1]]
        value = next((part for part in match.groups()[1:] if part is not None), "")
        return f"{option} {value}" if option in options else match[0]

    return _PARAMETER.sub(named, message)
