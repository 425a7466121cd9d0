"""What a new neighbour sends, looked at before it is let in: records (`check`, `log`), and a kiosk's references (`reference`)."""
