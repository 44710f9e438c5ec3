"""Reports: one page per run and result, an index of them, and a server of this machine."""
