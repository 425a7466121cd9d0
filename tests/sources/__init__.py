"""What a new source writes, looked at before it is let in."""
