"""What people and machines call: the Redis views, the priority lookup, the notifier, and who may see what."""
