"""The simulated world: whole clouds on fake drivers under a virtual clock, with faults, and what must always be true.

    loop.py        an event loop whose time passes only when nothing else can happen
    world.py       a cloud of several hosts in one process
    faults.py      what goes wrong, when: bus, database, drivers, whole hosts
    workload.py    what users do, at random
    invariants.py  what must be true after every event, and what once everything has healed
"""
