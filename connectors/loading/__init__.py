"""Events into Kafka: order of arrival, partitions, publisher, closer."""
