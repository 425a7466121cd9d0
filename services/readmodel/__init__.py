"""What people look at, in PostgreSQL: filled from the topics by one projector, read unit by unit."""
