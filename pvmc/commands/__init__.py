"""What each subcommand does, a file for each topic.

Each imports what it needs when it runs, so that ``pvmc --help`` imports nothing heavy.

Every function takes the parsed command line and returns the exit code; errors are those of :mod:`pvmc.errors`.
"""
