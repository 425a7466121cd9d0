"""The standing job: one partition's events in; standings, tiers, alerts, restatements, queue priorities out."""
