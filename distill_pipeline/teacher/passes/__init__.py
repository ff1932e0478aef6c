"""The teacher's forward pass over sequences of one length."""
