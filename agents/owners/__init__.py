"""The account agent: compares under which customers accounts have come, and tells of those that have several."""
