"""Every metric of the service: declared in ``catalog``, recorded through Ray where Ray runs.

It knows nothing of the other packages, so that each of them may record.
"""
