"""One page each: `x.py` beside `x.html`."""
