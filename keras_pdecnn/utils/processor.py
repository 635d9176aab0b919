"""Whether the processor computes in bfloat16."""

from __future__ import annotations

import functools
import pathlib

_CPUINFO = pathlib.Path("/proc/cpuinfo")
# The names that Linux has for these instructions on x86 (AVX512-BF16, AMX, AVX-NE-CONVERT) and on ARM.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}


@functools.cache
def has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; False where Linux does not tell."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(
        not _INSTRUCTIONS.isdisjoint(line.partition(":")[2].split())
        for line in lines
        if line.startswith(("flags", "Features"))
    )
