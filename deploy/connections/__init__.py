"""How clients reach Kafka and Redis: encrypted or not, and as whom. No client is configured anywhere else.

Kafka: `Settings.kafka` is the list of brokers with what opens them; `clients` turns it into what each library takes.
Redis: `Settings.redis` is one URL with all of it.
"""
