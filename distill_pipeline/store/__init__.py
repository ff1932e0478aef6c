"""Stage outputs by fingerprint: complete and verified, or absent; on this machine and shared."""
