"""What is no part of the subject: checks of arguments, files, archives, tables."""
