"""A local Polymarket: the venue's own protocol (REST, sockets, relayer, JSON-RPC) on top of the simulator.

Everything lives in memory and needs no database. Amounts a tape does not know come from `depth.py`.
"""
