"""What comes in: lanes with the barrier of day closes, profiles, facts, counts of postings."""
