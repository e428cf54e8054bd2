"""Routing tables that the applications of all tests in a process share: making them takes longer than most tests."""

from micronova.routing import Tables

TABLES = Tables()
