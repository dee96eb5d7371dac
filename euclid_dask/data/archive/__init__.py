"""The client of the Euclid Archive System (EAS): metadata of products, and files of its stores.

The archive itself cannot be reached from outside of the ground segment. What is known of it comes
from what public clients send and read; all of it was tried against a stand-in of our own only.
So what goes over the line is said in few places: `metadata`, `ingestion` and `dss`.
"""
