"""The desk: what a relationship manager and a branch head look at, and act on."""
