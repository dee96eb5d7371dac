"""Pipeline scripts and package definitions of the demo."""
