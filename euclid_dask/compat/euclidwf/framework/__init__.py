"""The language of pipelines under its old names."""
