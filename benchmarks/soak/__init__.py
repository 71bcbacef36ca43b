"""Hours of talk: memory, live objects, and every sample accounted for."""
