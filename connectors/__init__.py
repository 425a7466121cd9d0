"""Bank formats in, canonical files out, and the way into Kafka: from a bank's files to the input topics."""
