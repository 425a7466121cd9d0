"""The banks that are measured: events, frames, and what must come out."""
