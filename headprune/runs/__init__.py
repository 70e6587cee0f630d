"""Everything about a run that lies on disk."""
