"""What people type: the commands, their flags, and what they print."""
