"""Media: containers and codecs, recognized, opened with a guard, and decoded as they arrive."""
