"""Outside in: real processes, official clients, one scripted upstream."""
