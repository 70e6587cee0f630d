"""What attention heads do: how important each one is, which function it has, and how it looks."""
