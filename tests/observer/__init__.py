"""Observes Brevet from outside: callers with signed tokens, users of vended credentials, readers of evidence.

It shares no code with Brevet on purpose: it sees only what AWS, HTTP and the call log show.
"""
