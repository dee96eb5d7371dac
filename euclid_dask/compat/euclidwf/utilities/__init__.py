"""What surrounded the language of pipelines, under its old names."""
