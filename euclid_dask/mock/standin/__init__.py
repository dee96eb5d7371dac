"""The stand-in: what is copied beside the mocked executables. It imports nothing of ours."""
