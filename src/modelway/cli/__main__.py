"""`python -m modelway.cli`, as the workers are started."""

from modelway.cli import main

main()
