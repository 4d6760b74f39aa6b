"""Images: datasets, the split that thresholds are chosen on, preprocessing, safe decoding, the embedded test images."""
