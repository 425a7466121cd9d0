"""The clock of cases: the bank's working time, and which command is due when."""
