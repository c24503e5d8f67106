"""What watches Brevet from outside: callers with signed tokens, users of vended credentials, readers of evidence.

Shares no code with Brevet on purpose: what it sees is what AWS, HTTP and the call log show.
"""
