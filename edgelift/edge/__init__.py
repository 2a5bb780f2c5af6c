"""Edge hosts: what is uploaded to one through its documented Local UI API, and what it says of that.

What it is not: the uploads in chunks of Palette's own command line, whose endpoints are not documented.
"""
