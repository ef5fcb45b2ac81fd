"""One use of the gateway, from the key check to the last byte."""
