"""Everything on one machine: embedded servers, every process behind one port, and a supervisor for them."""
