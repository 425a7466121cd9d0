"""Tickets of branches: issue, call, recall, no-show, transfer and the rest, each one step of a store of its own."""
