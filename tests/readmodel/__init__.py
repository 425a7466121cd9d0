"""What people look at is what the topics say: each record once, whatever ends the projector, and nobody sees another's."""
