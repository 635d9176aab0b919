"""What builds the documentation: extensions of Python-Markdown and of griffe."""
