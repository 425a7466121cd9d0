"""The Faust app: block engine, partition units, the jobs that run in it."""
