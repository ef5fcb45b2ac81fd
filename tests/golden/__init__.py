"""Golden tests: every recording as a client of each protocol gets it, and the local model as an oracle."""
