"""`tidegauge explain`: its command, the text it prints, its words."""
