"""What is measured on a state once its run is over."""
