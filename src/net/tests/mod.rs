//! The layer as a client sees it: a server on a port of its own, and raw sockets.
