"""What a new source writes, looked at before it is let in: `check` judges decoded columns, `log` reads a topic for it."""
