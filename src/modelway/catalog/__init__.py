"""What each model is and accepts: cards, forms, request examples. Pure."""
