"""What pages, sockets and turns read. Nothing here writes."""
