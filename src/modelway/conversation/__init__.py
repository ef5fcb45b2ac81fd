"""What a call says, in no vendor's dialect: requests, replies, events, errors. Pure."""
