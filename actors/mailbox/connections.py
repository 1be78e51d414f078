"""Connections to a server, under the name by which the mailbox knows them."""

from ...middleware.connections import Argument, Connections, place_of

__all__ = ["Argument", "Connections", "place_of"]
