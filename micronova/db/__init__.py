"""The database: rows defined once, synchronous transactions, a journal of every change.

rows.py        what a row and its columns are; the table that follows from them
statements.py  SQL for the shapes of question that are asked, compiled once per dialect
tx.py          what a transaction function may do: get, find, count, insert, change, delete
database.py    read and write transactions, retry, what happens after a commit
journal.py     who changed what, when and why
sqlite.py, postgresql.py   the two database drivers; migrate.py the way from one version to the next
"""

from micronova.db.database import Database, Engine
from micronova.db.rows import INDEX, KEY, SECRET, SERIAL, UNIQUE, Column, Row, table
from micronova.db.statements import Greater, Less, Like, Not
from micronova.db.tx import Tx

__all__ = [
    "INDEX",
    "KEY",
    "SECRET",
    "SERIAL",
    "UNIQUE",
    "Column",
    "Database",
    "Engine",
    "Greater",
    "Less",
    "Like",
    "Not",
    "Row",
    "Tx",
    "table",
]
