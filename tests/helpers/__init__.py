"""Helpers of the tests: processes on this machine, damages of files, and what must be equal on several replicas."""

# Settings of programs that compute under JAX and check numbers: XLA, which would take most of their time, compiles in a
# fraction of it. Programs that measure memory do without.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_multi_thread_eigen=false"
)
QUICK_JAX = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": XLA_FLAGS}
