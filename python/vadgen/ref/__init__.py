"""numpy twins of the C kernels: slow, plain, and the definition of right."""
