"""The museum: what is only there to reproduce hcsshim, a file for each kind of fault."""
