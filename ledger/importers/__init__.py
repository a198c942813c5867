"""Importers: records of other systems, mapped to sections.

Pure mappings of bytes that are given; files, gzip and sending are the caller's. The bytes of a mapped event depend on
the record and the mapping's version alone.
"""
