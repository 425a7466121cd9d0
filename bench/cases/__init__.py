"""What alert cases cost: the room of the state, and the time of a close."""
