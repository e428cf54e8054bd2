"""The simulated world: whole clouds on fake drivers under a virtual clock, with faults, and what must always be true.

loop.py         an event loop whose time passes only when nothing else can happen
world.py        a cloud of several hosts in one process; life.py: how a process dies
gates.py        where a process touches bus, database and drivers, and is refused, held up, or dies; volume_gates.py
faults.py       what goes wrong, when: bus, database, drivers, whole hosts
asking.py       who users are and how they ask; workload.py, network_users.py, volume_users.py: what they do, at random
volume_data.py  what they write to volumes, and whether it is still there, and nowhere else
snapshot.py     all that is true at one moment
invariants.py   what must be true after every event, and what once everything has healed;
                network_invariants.py: of networks; segment_invariants.py: of what carries them;
                volume_invariants.py: of volumes
history.py      whether the journal explains every row, and a sum over a whole life
simulation.py   one seed from beginning to end; many.py: many of them
"""
