"""Every rule about keys, people, models and money, once."""
