"""The index: derived SQLite files by which entries are found, and nothing else is believed.

A follower fills them from the log (`follower.py`); queries read them (`search.py`). The rule that must not break: a file
names the tree head it stands for, and one whose head is not in the log is made again.
"""
