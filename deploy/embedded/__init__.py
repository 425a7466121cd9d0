"""Kafka and a Redis-protocol server on this machine, without Docker or root."""
