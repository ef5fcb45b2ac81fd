"""Wire formats: bytes to conversation and back. Pure; one protocol never imports another."""
