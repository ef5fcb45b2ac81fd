"""One file per question about speed and size; `make bench` runs them all and writes RESULTS.md."""
