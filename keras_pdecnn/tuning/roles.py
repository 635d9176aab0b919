"""Searches in several processes: which process is the chief, which are workers, and how they notice each other's end.

The roles are Keras Tuner's environment variables: KERASTUNER_TUNER_ID, a name that contains "chief" for the chief, and
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, the address at which the chief listens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import grpc

from keras_pdecnn.utils.arguments import describe

_ID, _IP, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_PULSE = 5.0  # seconds between two signs of life of a worker
_PAUSE = 0.1  # seconds before a request whose answer broke off is asked again


class ChiefError(RuntimeError):
    """The chief of a distributed search cannot listen, does not answer, or has failed."""


def set_role(role: str, address: str | None = None, worker_id: str | None = None):
    """Make this process the chief or a worker of a distributed search, by setting the environment variables.

    Args:
        role: "chief" or "worker".
        address: "host:port" at which the chief listens; default None, taken from the environment variables.
        worker_id: Name of the worker; default None, made of the host name and the process number. A worker that is
            started again under its name gets its unfinished trial again.

    Raises:
        ValueError: If there is no valid address, or the name of a worker contains "chief".
    """
    host, port = os.environ.get(_IP, ""), os.environ.get(_PORT, "")
    if address is not None:
        host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"A {role} needs the address of the chief, host:port. Received: address={describe(address)}")
    name = "chief"
    if role == "worker":
        name = worker_id or f"{socket.gethostname()}-{os.getpid()}".replace("chief", "")
        if "chief" in name:
            raise ValueError(
                f"The name of a worker must not contain 'chief'. Received: worker_id={describe(worker_id)}"
            )
    os.environ.update({_ID: name, _IP: host, _PORT: port})


def tuner_address() -> str | None:
    """Return the address at which the chief listens; None if the search is not distributed.

    Raises:
        ValueError: If only some of the environment variables are set.
    """
    if _IP not in os.environ:
        return None
    missing = [name for name in (_ID, _PORT) if not os.environ.get(name)]
    if missing:
        raise ValueError(f"A distributed search also needs {', '.join(missing)}. Received: {_IP}={os.environ[_IP]!r}")
    return f"{os.environ[_IP]}:{os.environ[_PORT]}"


def tuner_id() -> str:
    """Return the name of this process in a search."""
    return os.environ.get(_ID, "tuner0")


def is_chief() -> bool:
    """Return whether this process is the chief of a distributed search."""
    return tuner_address() is not None and "chief" in tuner_id()


def is_worker() -> bool:
    """Return whether this process is a worker of a distributed search."""
    return tuner_address() is not None and "chief" not in tuner_id()


def serve(search, oracle):
    """Run the search of a chief; return when all trials have ended and every worker that still answers knows it.

    Raises:
        ChiefError: If it cannot listen at its address.
    """
    with _repeat(oracle.forget_silent):
        try:
            search()
        except RuntimeError as error:  # of gRPC
            raise ChiefError(f"The chief cannot listen at {tuner_address()}: {error}") from error


def work(search):
    """Run the search of a worker.

    Raises:
        ChiefError: If the chief does not answer for an hour, or answers with an error.
    """
    try:
        search()
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            raise ChiefError(f"No chief has answered at {tuner_address()} for an hour.") from error
        raise ChiefError(f"The chief failed: {error.details()}") from error


class PatientClient:
    """The requests of a worker to its chief, asked again if the chief stops in the middle of an answer.

    Keras Tuner's client waits for a chief that is not there, but an answer that breaks off is an error, which would
    count as the failure of the trial. Every request may be repeated: the chief saves what it is told before it answers,
    and does not change the end of a trial.

    Args:
        client: The client of Keras Tuner.
    """

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        value = getattr(self._client, name)
        return _patient(value) if callable(value) else value


def _patient(request):
    def ask(*args, **kwargs):
        while True:
            try:
                return request(*args, **kwargs)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(_PAUSE)

    return ask


def pulse(oracle, trial_id: str):
    """Return a context in which the chief hears of this worker while it is busy with a trial."""
    return _repeat(lambda: oracle.get_trial(trial_id))


@contextlib.contextmanager
def _repeat(call):
    done = threading.Event()

    def beat():
        while not done.wait(_PULSE):
            with contextlib.suppress(grpc.RpcError):
                call()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
