"""The PostgreSQL database: its tables, which numbered migrations make, and who may use them."""
