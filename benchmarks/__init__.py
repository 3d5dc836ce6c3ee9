"""What is timed, side by side with what it is compared to: `make benchmark`."""
