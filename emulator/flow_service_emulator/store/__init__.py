"""Where entities are kept: in memory, and in a data folder's log where there is one."""
