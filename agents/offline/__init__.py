"""The standing job without a worker: replay of files and logs, its state as a table, warm-up."""
