"""The strategies: one manager for each type of network. What they share is base.py; the room calls their hooks."""
