"""The HTTP/1.1 server: sockets and bytes on one side, ASGI on the other. It knows nothing of calls."""
