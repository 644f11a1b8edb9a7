"""Reading the log again, from given offsets to given ends, in one or several processes."""
