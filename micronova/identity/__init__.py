"""The identity room: users, groups, projects, domains, roles, the catalog, and who asks.

Decides who a caller is, what a token says, and whether it still counts. Calls nobody. Speaks Keystone v3 below
`/identity`. What a role may do is said by the policies of every room (micronova/policy.py).
"""
