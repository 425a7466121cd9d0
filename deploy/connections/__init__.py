"""How clients reach Kafka, Redis and PostgreSQL: encrypted or not, and as whom. No client is configured anywhere else.

Kafka: `Settings.kafka` is the list of brokers with what opens them; `clients` turns it into what each library takes.
Redis, PostgreSQL: `Settings.redis` and `Settings.database` are each one URL with all of it.
"""
