"""`tidegauge notices`: run it, see its notices and their texts, and end a wait or have one sent again."""
