"""Worker processes on this machine, for tests: started with TF_CONFIG, waited for with a limit, never left behind."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]


def environment(**extra) -> dict[str, str]:
    """Return the environment of a process with one thread, the package and no TF_CONFIG."""
    kept = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}
    return kept | quiet | threads | {"PYTHONPATH": path} | extra


def configurations(count: int) -> list[str]:
    """Return TF_CONFIG of each of `count` workers on free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    task = {"type": "worker"}
    return [json.dumps({"cluster": {"worker": addresses}, "task": task | {"index": i}}) for i in range(count)]


@contextlib.contextmanager
def start(commands, folder):
    """Start Python with each of the arguments and environments (arguments, env); kill what is left at the end."""
    with contextlib.ExitStack() as stack:
        started = []
        try:
            for index, (arguments, env) in enumerate(commands):
                log = stack.enter_context(open(folder / f"log{index}.txt", "a"))
                command = [sys.executable, *map(str, arguments)]
                started.append(subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=folder))
            yield started
        finally:
            for process in started:
                process.kill()
                process.wait()


def start_workers(count: int, arguments, folder):
    """Start `count` workers of one cluster with the same arguments."""
    return start([(arguments, environment(TF_CONFIG=config)) for config in configurations(count)], folder)


def wait(processes, seconds: float) -> list[int | None]:
    """Wait for processes, altogether at most that long, and return their exit codes, None for one that goes on."""
    end = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    return [process.poll() for process in processes]


def logs(folder) -> str:
    """Return what the processes wrote."""
    return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(folder.glob("log*.txt")))
