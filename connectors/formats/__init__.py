"""Bank formats in and canonical files out, one module a format."""
