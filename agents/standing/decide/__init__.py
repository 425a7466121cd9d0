"""What is decided: closes, the lifecycle of standings, layers, outlooks, restatements, changes of packs."""
