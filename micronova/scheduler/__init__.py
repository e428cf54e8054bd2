"""The scheduler room: which hosts there are, what they hold, which of them takes what, and why.

Decides where a server goes; its drivers decide purely, from a request and the table of hosts. Calls nobody.
Every decision is kept with its numbers, also the one that found no host.
"""
