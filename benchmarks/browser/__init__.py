"""What a listener in a real browser hears, and when."""
