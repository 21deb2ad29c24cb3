"""Tasks beside a run: fits, imports, timings, spectra, validation, job scripts."""
