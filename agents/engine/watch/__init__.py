"""What a worker knows of its own health: movement of its inputs, the topics at the brokers, and how it ended."""
