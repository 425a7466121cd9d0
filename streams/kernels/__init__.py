"""What compiled kernels need beside numba: a cache by fingerprint, borrowed arrays, prefetching."""
