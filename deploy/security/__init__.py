"""Who may do what on the servers: a principal for each kind of process, and the embedded stack's own authority and users."""
