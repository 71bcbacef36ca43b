"""Background sound: sources, sounds, and the mixer that puts them beneath the speech."""
