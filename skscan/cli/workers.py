"""Who does the work of a command: processes of this machine, or those of Dask or Ray."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from skscan.cli import options
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.terminal import escaped

_DASK_PREFIXES = ("tcp://", "tls://", "ucx://", "inproc://")
_SECONDS_TO_CONNECT = 10


def where(text: str) -> str:
    """Parse a number of processes, or the address of a cluster."""
    if text == "ray" or text.startswith(("ray://", *_DASK_PREFIXES)):
        return text
    try:
        return str(options.jobs(text))
    except typer.BadParameter as error:
        raise typer.BadParameter(
            f"{error.message}; or the address of a cluster: tcp://HOST:PORT of a Dask scheduler, "
            "ray://HOST:PORT, or ray for the Ray that runs on this machine"
        ) from None


@contextmanager
def working(place: str) -> Iterator[None]:
    """Let joblib work where `where` says, inside the block.

    Raises
    ------
    WrongUse
        If the engine is not installed.
    CommandFailed
        If no cluster answers.
    """
    if place.startswith(_DASK_PREFIXES):
        work = _on_dask(place)
    elif place.startswith("ray"):
        work = _on_ray(place)
    else:
        work = _on_this_machine(int(place))
    with work:
        yield


@contextmanager
def _on_this_machine(n_jobs: int) -> Iterator[None]:
    from joblib import parallel_config

    with parallel_config("loky", n_jobs=n_jobs):
        yield


@contextmanager
def _on_dask(address: str) -> Iterator[None]:
    from joblib import parallel_config

    try:
        from distributed import Client
    except ImportError as error:
        raise WrongUse(_not_installed(address, "Dask", "dask")) from error
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"no Dask scheduler answers at {escaped(address)}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise CommandFailed(f"the Dask scheduler at {escaped(address)} has no workers")
        with parallel_config("dask"):
            yield


@contextmanager
def _on_ray(address: str) -> Iterator[None]:
    from joblib import parallel_config

    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise WrongUse(_not_installed(address, "Ray", "ray")) from error
    try:
        ray.init("auto" if address == "ray" else address, log_to_driver=False)
    except (ConnectionError, OSError, ValueError) as error:
        raise CommandFailed(f"no Ray cluster answers at {escaped(address)}: {error}") from error
    try:
        register_ray()
        with parallel_config("ray", n_jobs=-1):
            yield
    finally:
        ray.shutdown()


def _not_installed(address: str, name: str, extra: str) -> str:
    return (
        f"--workers {address} needs {name}, which is not installed: pip install 'skscan[{extra}]'"
    )
