"""The sample pictures that this project makes itself, and the CocoGlide subset it can recreate."""
