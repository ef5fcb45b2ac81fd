"""Companies' endpoints: rows, credentials, quirks and the one upstream client."""
