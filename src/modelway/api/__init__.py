"""HTTP routes: inference, management, discovery."""
