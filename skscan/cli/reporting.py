"""What a failing command says, and the exit code it ends with."""

import errno
import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from skscan.cli import interrupt
from skscan.cli.errors import FAILED, INTERRUPTED, WRONG_USE, CommandFailed, OutputClosed, WrongUse
from skscan.cli.terminal import escaped, speaking, worded
from skscan.exceptions import (
    ImageReadError,
    ModelFileError,
    ModelUnavailableError,
    TooFewSamplesError,
    TrainingDivergedError,
)

_DebugOption = Annotated[
    bool, typer.Option("--debug", help="On an error, show the Python traceback.")
]


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the option ``--debug``, and end it with one line instead of a traceback."""
    options = _options_of(command)

    @functools.wraps(command)
    def guarded(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        with speaking(options, quiet=kwargs.get("quiet", False)):
            _run(functools.partial(command, *args, **kwargs), debug)

    signature = inspect.signature(command)
    debug_parameter = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_DebugOption
    )
    guarded.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), debug_parameter]
    )
    guarded.__annotations__ = {**command.__annotations__, "debug": _DebugOption}
    return guarded


def _run(command: Callable[[], None], debug: bool) -> None:
    try:
        command()
    except (typer.Exit, typer.Abort):
        raise
    except OutputClosed:
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        interrupt.say_what_is_kept()
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if interrupt.happened():
            interrupt.say_what_is_kept()
            raise typer.Exit(INTERRUPTED) from None
        if debug:
            traceback.print_exc()
        print(f"Error: {explain(error)}", file=sys.stderr)  # as Typer writes it
        raise typer.Exit(WRONG_USE if isinstance(error, _WRONG_USE) else FAILED) from None


def _options_of(command: Callable[..., None]) -> set[str]:
    """Return the options that a command has, as they are typed."""
    annotations = [each.annotation for each in inspect.signature(command).parameters.values()]
    details = [detail for each in annotations for detail in getattr(each, "__metadata__", ())]
    # within Annotated, Typer takes the first name for a default value
    names = [
        name
        for each in details
        for name in (getattr(each, "default", None), *(getattr(each, "param_decls", None) or ()))
    ]
    return {name for name in names if isinstance(name, str) and name.startswith("-")}


def explain(error: Exception) -> str:
    """Return one line, in the user's words, for `error`."""
    if isinstance(error, OSError) and error.strerror:
        return escaped(_explain_os_error(error))
    message = worded(escaped(" ".join(str(error).split()))) or type(error).__name__
    if isinstance(error, _EXPLAINED):
        return message
    if isinstance(error, MemoryError):
        return f"not enough memory ({message})"
    return f"unexpected {type(error).__name__}: {message} (--debug shows the traceback)"


def _explain_os_error(error: OSError) -> str:
    where = f": {_as_text(error.filename)}" if error.filename is not None else ""
    advice = _OS_ADVICE.get(error.errno or 0, "")
    return f"{error.strerror}{where}{advice}"


def _as_text(filename: object) -> str:
    if isinstance(filename, bytes):
        return filename.decode("utf-8", "surrogateescape")
    return str(filename)


_OS_ADVICE = {
    errno.ENOSPC: "; the disk is full, earlier files are as they were",
    errno.EDQUOT: "; the quota is used up, earlier files are as they were",
}

# The second is about the images that could be read: how many these are, only reading tells.
_WRONG_USE: tuple[type[Exception], ...] = (WrongUse, TooFewSamplesError)

# Their messages are written for the user: a ValueError of the library names the argument at
# fault, what was got and what is taken.
_EXPLAINED: tuple[type[Exception], ...] = (
    WrongUse,
    CommandFailed,
    ImageReadError,
    ModelFileError,
    ModelUnavailableError,
    TrainingDivergedError,
    ValueError,
)
