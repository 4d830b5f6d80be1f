"""A local web page: drop an image, see map, reliability and score."""
