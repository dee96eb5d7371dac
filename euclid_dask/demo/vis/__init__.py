"""Science programs of the demo: each file is started on its own, and knows files and options."""
