"""A connection to Ray for one run: started or joined, sized, and left without a trace. See docs/cohorts.md."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput
from rep3d.runtime.packages import need
from rep3d.runtime.privacy import stay_private
from rep3d.runtime.private_folder import make_private_folder, remove_folder, sweep_stale_folders

LOCAL = "local"
CPUS_A_WORKER = 4
TRIES = 3  # to start a cluster here: Ray gives up after 30 seconds, which a busy machine may take
PATIENCE_S = 10.0  # for processes of the cluster to let go of their files
LONGEST_ROOT = 24  # characters of the folder for temporary files: the path of a socket has 107 at most


@dataclass(frozen=True)
class ClusterOptions:
    """Attributes:
    address: "local" (a cluster on this machine for this run alone), "auto", HOST:PORT or ray://HOST:PORT.
    workers: processes in all; 0: one for every GPU, or else for every 4 CPUs. cpus: CPUs and threads of each;
        0: 4, or all that there are. device: as of `rep3d segment`; on GPUs each worker gets one of its own.
    """

    address: str
    workers: int = 0
    cpus: int = 0
    device: str = "auto"

    def check(self) -> None:
        """Raise BadInput for values that cannot be used."""
        if not self.address:
            raise BadInput("--ray needs an address.", "Give local, auto, HOST:PORT or ray://HOST:PORT.")
        if self.workers < 0 or self.cpus < 0:
            raise BadInput("--ray-workers and --ray-cpus must not be negative.", "0 chooses.")
        if self.device.startswith("cuda:"):
            raise BadInput(
                f"--device {self.device} does not go with --ray.", "Ray gives each worker a GPU: use --device cuda."
            )


def import_ray() -> Any:
    """The module ray, without usage reports. Raises BadInput when it is not installed."""
    stay_private()
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would leave the workers behind any other program
    need("ray")
    import ray
    import ray.exceptions

    return ray


def shut_environment() -> dict[str, str]:
    """Variables under which a cluster of this machine's own talks to itself alone.

    Ray listens on all interfaces unless the node's address is the loopback one, which it takes where it believes that
    there is no other machine. A token of its own keeps other users of the machine out. Ray asks the cloud's metadata
    service where it runs even when reports are off: a proxy that nobody serves lets such calls end at once.
    """
    nowhere = "http://127.0.0.1:9"
    proxies = {name: nowhere for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    inside = {name: "127.0.0.1,localhost,::1" for name in ("no_proxy", "NO_PROXY")}
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        **proxies,
        **inside,
    }


@contextlib.contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """``os.environ`` with ``changes`` inside the block, as it was afterwards."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def session_folder() -> Path:
    """A private folder for Ray's sockets and logs; those of runs that were killed are removed."""
    root = Path(tempfile.gettempdir())
    sweep_stale_folders(root)
    if len(str(root)) > LONGEST_ROOT and Path("/tmp").is_dir():
        root = Path("/tmp")
        sweep_stale_folders(root)
    return make_private_folder(root=root)


class RaySession:
    """``with RaySession(...) as session``: ``workers``, ``cpus`` of each, ``actor(...)``.

    Args:
        options: where and how many. jobs: no more workers than these. nbytes: of what is put into Ray's shared memory.

    Raises BadInput: Ray is missing, cannot be reached, or is too small.
    """

    def __init__(self, options: ClusterOptions, jobs: int, nbytes: int = 0):
        options.check()
        self.options, self.jobs, self.nbytes = options, jobs, nbytes
        self._actors: list[Any] = []
        self._own = False
        self._after = contextlib.ExitStack()

    def __enter__(self) -> RaySession:
        try:
            if self.options.address == LOCAL:
                self._after.enter_context(environment(shut_environment()))  # some of it is read when Ray is imported
            self.ray = import_ray()
            if not self.ray.is_initialized():
                self._connect()
                self._own = True
            self._size()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        if self._own:
            self.ray.shutdown()
        self._after.close()

    def _connect(self) -> None:
        address = self.options.address
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            if address == LOCAL:
                cpus = os.cpu_count() or 1
                if self.options.workers:
                    cpus = self.options.workers * (self.options.cpus or max(1, cpus // self.options.workers))
                store = max(100 << 20, 2 * self.nbytes + (50 << 20))
                self._start(num_cpus=cpus, include_dashboard=False, object_store_memory=store, **quiet)
            else:
                _check_reachable(address)
                self.ray.init(address=address, **({} if address.startswith("ray://") else quiet))
        except BadInput:
            raise
        except Exception as error:  # ConnectionError, RuntimeError, plain Exception: Ray raises all of them
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise BadInput(
                f"Ray at {address!r} cannot be used: {said[0]}",
                "Start it (`ray start --head` there) and check address and version, or use --ray local.",
            ) from error

    def _start(self, **settings: Any) -> None:
        """A cluster of this run alone. Its folder is removed when the session ends."""
        folder = session_folder()
        self._after.callback(remove_folder, folder, PATIENCE_S)
        for attempt in range(TRIES):
            try:
                # An address in the environment must not turn "local" into somebody's cluster.
                self.ray.init(address=LOCAL, _temp_dir=str(folder), **settings)
                break
            except Exception as error:
                self.ray.shutdown()
                if "timed out during startup" not in str(error) or attempt == TRIES - 1:
                    raise
        address = self.ray.util.get_node_ip_address()
        if not ipaddress.ip_address(address).is_loopback:
            self.ray.shutdown()
            raise BadInput(
                f"Ray would listen at {address}, where other machines reach it.",
                "Start Rep3D before anything else imports ray, or run `ray start --head` and give its address.",
            )

    def _size(self) -> None:
        """Decide on ``workers``, ``cpus`` and ``gpus`` of each from what the cluster has."""
        there = self.ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        device, wanted = self.options.device, self.options.workers
        if device == "cuda" and not gpus:
            raise BadInput("--device cuda: the Ray cluster has no GPU.", "Use --device cpu, or add machines with GPUs.")
        self.gpus = 1 if gpus and device in ("auto", "cuda") else 0
        most = gpus if self.gpus else cpus
        if self.gpus:
            self.cpus = self.options.cpus or max(1, min(CPUS_A_WORKER, cpus // gpus))
            self.workers = wanted or gpus
        else:
            self.cpus = self.options.cpus or (max(1, cpus // wanted) if wanted else max(1, min(CPUS_A_WORKER, cpus)))
            self.workers = wanted or max(1, cpus // self.cpus)
        if self.workers > most or self.workers * self.cpus > cpus:
            raise BadInput(
                f"{self.workers} workers with {self.cpus} CPUs{' and a GPU' if self.gpus else ''} each do not fit into "
                f"the cluster's {cpus} CPUs and {gpus} GPUs.",
                "Use fewer --ray-workers or --ray-cpus.",
            )
        self.workers = max(1, min(self.workers, self.jobs))

    def options_for(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a segmentation as a worker needs them: the device is the one that Ray gives it."""
        return {
            **options,
            "device": "cuda" if self.gpus else "cpu" if options["device"] == "auto" else options["device"],
        }

    def actor(self, worker_class: type, *arguments: Any) -> Any:
        """A new worker process; Ray neither restarts it nor repeats its calls, the driver does."""
        remote = self.ray.remote(worker_class).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0, max_task_retries=0
        )
        made = remote.remote(*arguments)
        self._actors.append(made)
        return made

    def kill(self, actor: Any) -> None:
        """End one worker process at once."""
        with contextlib.suppress(Exception):  # it is gone already, or the cluster is
            self.ray.kill(actor, no_restart=True)

    def kill_all(self) -> None:
        """End all of them."""
        while self._actors:
            self.kill(self._actors.pop())


def _check_reachable(address: str) -> None:
    """Raise BadInput soon for a HOST:PORT where nothing listens; Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        if address == "auto":
            return
        raise BadInput(f"--ray {address!r} is no address.", "Give local, auto, HOST:PORT or ray://HOST:PORT.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise BadInput(
            f"No Ray cluster answers at {address}: {error.strerror or error}",
            "Start it (`ray start --head` there), or use --ray local.",
        ) from error
