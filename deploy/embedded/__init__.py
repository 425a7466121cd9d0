"""Kafka, a Redis-protocol server and PostgreSQL on this machine, without Docker or root."""
