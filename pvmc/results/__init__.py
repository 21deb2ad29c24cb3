"""Numbers of finished or growing runs: plateau, result, state, symptoms, tables."""
