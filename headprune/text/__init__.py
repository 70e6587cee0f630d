"""From text to arrays and back."""
