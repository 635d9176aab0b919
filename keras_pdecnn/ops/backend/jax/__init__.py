"""JAX: `jax.custom_vjp` around steps that are written out on the CPU and loops elsewhere."""
