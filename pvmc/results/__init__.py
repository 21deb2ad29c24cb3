"""What is done with finished or growing runs: averages, comparisons, figures."""
