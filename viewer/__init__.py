"""Every way in for a person: the command line, the web, the desktop window, the report."""
