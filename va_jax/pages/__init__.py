"""Pages in HTML that need nothing but a browser: shared template, style, scripts and data blocks.

A page is a single file. Its content security policy admits only the script and the style that it
was written with, and no requests, so names from users cannot run anything.
"""
