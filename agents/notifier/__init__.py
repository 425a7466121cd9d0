"""The notifier: every record of `rm-alerts` becomes notices."""
