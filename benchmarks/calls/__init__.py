"""What calls cost behind real senders."""
