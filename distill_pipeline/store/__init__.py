"""Stage outputs by fingerprint: whole and verified, or not there; on this machine and shared."""
