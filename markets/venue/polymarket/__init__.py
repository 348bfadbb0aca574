"""Polymarket's own protocol, spoken by us: wire shapes, one connection pool, sockets, the table of what errors mean."""
