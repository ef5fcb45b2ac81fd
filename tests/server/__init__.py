"""The HTTP server, on real sockets and with applications of a few lines."""
