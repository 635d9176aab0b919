# %% [markdown]
# # Depth without memory
# The peak memory of one training step over the number of steps: activations stored, and steps run backwards. Each
# figure comes from a fresh process.

# %%
import json
import subprocess
import sys

import matplotlib.pyplot as plt

DEPTHS = (4, 16, 64)
SIZE = 64

# %%
for mode in ("stored", "reversible"):
    megabytes = []
    for steps in DEPTHS:
        settings = {"block": "HamiltonianBlock", "backprop": mode, "steps": steps, "batch": 8, "channels": 32}
        settings |= {"size": SIZE, "repetitions": 1}
        command = [sys.executable, "-m", "keras_pdecnn.benchmarks.block", json.dumps(settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        megabytes.append((measured["peak_bytes"] - measured["gradient_bytes"]) / 1e6)
    print(f"{mode}: " + ", ".join(f"{m:.0f} MB at {n} steps" for m, n in zip(megabytes, DEPTHS, strict=True)))
    plt.loglog(DEPTHS, megabytes, "o-", label=mode)

# %%
plt.xlabel("steps")
plt.ylabel("peak memory in MB, without the weights' gradients")
plt.xticks(DEPTHS, DEPTHS)
plt.minorticks_off()
plt.legend()
plt.savefig("reversible_memory.png")
