"""The local model: its weights and the child process that serves it."""
