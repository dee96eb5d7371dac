"""The drivers of storages, one module a scheme; `opening` chooses by the root's URL."""
