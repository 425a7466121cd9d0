"""What goes out: decisions and standings as records of the output topics."""
