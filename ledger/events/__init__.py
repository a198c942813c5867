"""Events: what a service reports, as values, as section bytes, and as the leaf that commits to them.

Pure: no I/O, no clock, no randomness, and no protobuf runtime; `codec.py` is the one module that has it and is not
imported here.
"""
