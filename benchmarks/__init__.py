"""Speed measurements, each next to what it is compared with: `make benchmark`."""
