"""Pictures of a clustering."""
