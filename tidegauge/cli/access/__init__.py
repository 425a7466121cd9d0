"""Commands about who may ask: the database, and the bank's lists of units and staff."""
