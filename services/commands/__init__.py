"""Commands: what people and machines change about a customer, through one door."""
