"""Peak memory of the process or the GPU."""

from __future__ import annotations

import contextlib
import pathlib
import resource
import sys

from keras_pdecnn.ops.backend import runtime


class PeakMemory:
    """The peak of memory above the level at which this object was made, in bytes.

    On a GPU it is the peak of the device; JAX's counts from the start of the process. On the CPU it is the peak of the
    resident memory of the process. Linux can reset this peak to the present level; on other systems it counts from the
    start of the process.
    """

    def __init__(self):
        self.on_gpu = bool(runtime.gpus())
        if self.on_gpu:
            self.start = runtime.reset_peak_memory()
            return
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        self.start = self._process_peak()

    def _process_peak(self) -> int:
        status = pathlib.Path("/proc/self/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        # In kilobytes, but on macOS in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def read(self) -> int:
        """Return the peak above the starting level."""
        if self.on_gpu:
            return runtime.peak_memory() - self.start
        return self._process_peak() - self.start
