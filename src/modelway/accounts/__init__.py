"""Keys, money and roles as values and arithmetic. Pure."""
