"""What a writer's schema means for a contract of ours: which field is which, and what becomes of its values."""
