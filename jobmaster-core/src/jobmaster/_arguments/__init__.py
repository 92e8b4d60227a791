"""How the arguments of a call become data, and data the arguments of a handler."""
